// The log survives kills and resumes.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type LogRecord, openRunLog, readRunLog } from "../../packages/cli/src/files/runLog.ts";
import { bundled, temporaryDirectory } from "./bundled.ts";

function logOf(steps: readonly number[]): string {
  const path = join(temporaryDirectory(), "out", "log.jsonl");
  const log = openRunLog(path, 0);
  for (const step of steps) log.append({ step, loss: 1 / (step + 1) });
  log.close();
  return path;
}

const stepsOf = (path: string): number[] => readRunLog(path).map(({ step }) => step);

test("records are lines of JSON, in a directory that is made", () => {
  const path = logOf([0, 1, 4]);
  expect(readFileSync(path, "utf8")).toBe('{"step":0,"loss":1}\n{"step":1,"loss":0.5}\n{"step":4,"loss":0.2}\n');
  expect(readRunLog(path)).toEqual([
    { step: 0, loss: 1 },
    { step: 1, loss: 0.5 },
    { step: 4, loss: 0.2 },
  ]);
});

test("a loss that is not finite is logged as what it is", () => {
  const path = join(temporaryDirectory(), "log.jsonl");
  const records: LogRecord[] = [
    { step: 0, loss: Number.NaN },
    { step: 1, loss: Number.POSITIVE_INFINITY, norm: Number.NEGATIVE_INFINITY },
  ];
  const log = openRunLog(path, 0);
  for (const record of records) log.append(record);
  log.close();
  expect(readFileSync(path, "utf8")).not.toContain("null");
  expect(readRunLog(path)).toEqual(records);
});

test("resuming at a step drops that step and later ones, and keeps earlier lines as they are", () => {
  const path = logOf([0, 1, 2, 3, 4]);
  const before = readFileSync(path, "utf8");
  const log = openRunLog(path, 3);
  expect(before.startsWith(readFileSync(path, "utf8"))).toBe(true);
  expect(stepsOf(path)).toEqual([0, 1, 2]);
  log.append({ step: 3, loss: 9 });
  log.close();
  expect(readRunLog(path).at(-1)).toEqual({ step: 3, loss: 9 });
});

test("resuming at step 0 begins anew; resuming past the end keeps all", () => {
  const path = logOf([0, 1, 2]);
  openRunLog(path, 100).close();
  expect(stepsOf(path)).toEqual([0, 1, 2]);
  openRunLog(path, 0).close();
  expect(readFileSync(path, "utf8")).toBe("");
});

test("a last line that a kill cut short is not read, and goes on resume", () => {
  const path = logOf([0, 1]);
  for (const torn of ["{", '{"step":2,"lo', '{"step":2,"loss":1}']) {
    appendFileSync(path, torn);
    expect(stepsOf(path)).toEqual([0, 1]);
    openRunLog(path, 2).close();
    expect(readFileSync(path, "utf8")).toBe('{"step":0,"loss":1}\n{"step":1,"loss":0.5}\n');
  }
});

test.each([
  ["no JSON", "loss 3"],
  ["a list", "[1]"],
  ["null", "null"],
  ["no step", '{"loss":1}'],
  ["a fractional step", '{"step":1.5}'],
  ["text as a value", '{"step":1,"loss":"x"}'],
  ["a step again", '{"step":0,"loss":1}'],
])("a line with %s is refused with its number", (_, line) => {
  const path = logOf([0]);
  appendFileSync(path, `${line}\n`);
  expect(() => readRunLog(path)).toThrow(/^runLog: .*log\.jsonl: line 2 is .*, want {"step": …} past step 0$/);
  expect(() => openRunLog(path, 5)).toThrow(/line 2/);
});

test("steps that do not increase are refused, before and after a resume", () => {
  const path = logOf([0, 1]);
  const log = openRunLog(path, 2);
  expect(() => log.append({ step: 1, loss: 1 })).toThrow("runLog: step 1 after step 1, want whole steps that increase");
  expect(() => log.append({ step: 2.5, loss: 1 })).toThrow("runLog: step 2.5 after step 1");
  log.append({ step: 2, loss: 1 });
  log.close();
  expect(stepsOf(path)).toEqual([0, 1, 2]);
});

test("what was appended before a kill -9 is there after it", async () => {
  const directory = temporaryDirectory();
  const path = join(directory, "log.jsonl");
  writeFileSync(path, "");
  const script = await bundled(
    `import { openRunLog } from "./files/runLog.ts";
     const log = openRunLog(process.argv[2], 0);
     for (let step = 0; step < 1000; step++) log.append({ step, loss: 1 });
     process.kill(process.pid, "SIGKILL");`,
    directory,
  );
  const child = spawn(process.execPath, [script, path], { stdio: "inherit" });
  expect(await once(child, "exit")).toEqual([null, "SIGKILL"]);
  expect(stepsOf(path)).toEqual(Array.from({ length: 1000 }, (_, step) => step));
});

test("a log whose folder is moved away is written anew, whole", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "out", "log.jsonl");
  const log = openRunLog(path, 0);
  for (const step of [0, 1]) log.append({ step });
  renameSync(join(directory, "out"), join(directory, "elsewhere"));
  log.append({ step: 2 });
  log.flush();
  log.append({ step: 3 });
  log.close();
  expect(stepsOf(path)).toEqual([0, 1, 2, 3]);
});

test.runIf(process.platform === "linux")(
  "lines that a full disk refuses wait, whole, until there is room",
  async () => {
    const directory = temporaryDirectory();
    const path = join(directory, "log.jsonl");
    const script = await bundled(
      `import { openRunLog, readRunLog } from "./files/runLog.ts";
     import { execFileSync } from "node:child_process";
     const log = openRunLog(process.argv[2], 0);
     let said;
     for (let step = 0; step < 200; step++) log.append({ step, loss: 1 });
     try { log.flush(); } catch (error) { said = error.code; }
     const steps = readRunLog(process.argv[2]).length;
     execFileSync("sh", ["-c", "prlimit --pid $0 --fsize=unlimited", String(process.pid)]);
     log.append({ step: 200, loss: 1 });
     log.flush();
     console.log(JSON.stringify({ said, steps }));`,
      directory,
    );
    // The limit's unit is 512 bytes; 200 lines are more than 1024. It is soft, so that it can be raised again.
    const child = spawnSync("sh", ["-c", 'ulimit -S -f 2; exec "$0" "$@"', process.execPath, script, path], {
      encoding: "utf8",
    });
    expect(child.stderr).toBe("");
    const { said, steps } = JSON.parse(child.stdout);
    expect(said).toBe("EFBIG");
    expect(steps).toBeGreaterThan(10);
    expect(steps).toBeLessThan(100);
    expect(stepsOf(path)).toEqual(Array.from({ length: 201 }, (_, step) => step));
  },
);
