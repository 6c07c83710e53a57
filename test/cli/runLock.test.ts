// One process at a time trains into a folder, whoever dies and whoever begins at once.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { isAlive, OWN, SILENT } from "../../packages/cli/src/files/owner.ts";
import { lockRun } from "../../packages/cli/src/files/runLock.ts";
import { bundled, temporaryDirectory } from "./bundled.ts";

const locks = (directory: string) => readdirSync(directory).filter((name) => name.endsWith(".lock"));

/** A process that trains into a directory, or would; it says "held" and stays. */
async function holder(directory: string): Promise<{ pid: number; kill: () => Promise<unknown> }> {
  const script = await bundled(
    `import { lockRun } from "./files/runLock.ts";
     await lockRun(process.argv[2]);
     console.log("held");
     setInterval(() => {}, 1000);`,
    temporaryDirectory(),
  );
  const child = spawn(process.execPath, [script, directory], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const kill = () => {
    const end = once(child, "exit");
    child.kill("SIGKILL");
    return end;
  };
  return { pid: child.pid!, kill };
}

test("a folder in use is refused with its process, and taken over when that was killed", async () => {
  const directory = temporaryDirectory();
  const other = await holder(directory);
  try {
    await expect(lockRun(directory)).rejects.toThrow(
      `--out ${directory}: process ${other.pid} trains into it, want another folder, or its end`,
    );
    expect(locks(directory)).toHaveLength(1);
  } finally {
    await other.kill();
  }
  const lock = await lockRun(directory);
  expect(locks(directory)).toEqual([`.tweedie-run-${OWN}.lock`]);
  await expect(lockRun(directory)).rejects.toThrow(`process ${process.pid} trains into it`);
  lock.release();
  expect(locks(directory)).toEqual([]);
});

test("an id that was given to another process is no owner, nor a machine that has been silent for a minute", () => {
  expect(isAlive(OWN, 1e9)).toBe(process.platform === "linux");
  expect(isAlive(OWN, 0)).toBe(true);
  if (process.platform === "linux") expect(isAlive(OWN.replace(/-\d+-/, "-1-"), 0)).toBe(false);
  const elsewhere = OWN.replace(/[0-9a-f]{8}$/, "00000000");
  expect(isAlive(elsewhere, SILENT - 1)).toBe(true);
  expect(isAlive(elsewhere, SILENT + 1)).toBe(false);
});

test("another machine's run is refused while it gives signs of life", async () => {
  const directory = temporaryDirectory();
  const file = join(directory, `.tweedie-run-${OWN.replace(/[0-9a-f]{8}$/, "00000000")}.lock`);
  writeFileSync(file, "");
  await expect(lockRun(directory)).rejects.toThrow(
    /a process of another machine or container trained into it \d s ago/,
  );
  const before = Date.now() / 1000 - SILENT - 60;
  utimesSync(file, before, before);
  (await lockRun(directory)).release();
  expect(locks(directory)).toEqual([]);
});

test("signs of life have the time of the disk, whatever the process takes for the time", async () => {
  const directory = temporaryDirectory();
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval", "Date"] });
  onTestFinished(() => void vi.useRealTimers());
  const lock = await lockRun(directory);
  const file = join(directory, `.tweedie-run-${OWN}.lock`);
  const longAgo = statSync(file).mtimeMs / 1000 - 1000;
  utimesSync(file, longAgo, longAgo);
  vi.setSystemTime(0);
  vi.advanceTimersByTime(10_000);
  expect(statSync(file).mtimeMs / 1000).toBeGreaterThan(longAgo + 999);
  lock.release();
});

test("a folder that was moved away is made again, and given up where another run has taken its place", async () => {
  const parent = temporaryDirectory();
  const directory = join(parent, "out");
  mkdirSync(directory);
  const lock = await lockRun(directory);
  renameSync(directory, join(parent, "moved"));
  lock.hold();
  expect(locks(directory)).toHaveLength(1);
  rmSync(directory, { recursive: true });
  mkdirSync(directory);
  const other = await holder(directory);
  try {
    expect(() => lock.hold()).toThrow(`${directory}: process ${other.pid} trains into it`);
    expect(locks(directory)).toHaveLength(1);
  } finally {
    await other.kill();
  }
  lock.release();
});

test("of processes that begin at once, again and again, never two are in", async () => {
  const directory = temporaryDirectory();
  const script = await bundled(
    `import { closeSync, openSync, rmSync } from "node:fs";
     import { lockRun } from "./files/runLock.ts";
     let [inside, refused] = [0, 0];
     const began = Number(process.argv[4]);
     for (let k = 0; k < 40; k++) {
       await new Promise((resolve) => setTimeout(resolve, began + 60 * k - 5 - Date.now()));
       while (Date.now() < began + 60 * k); // all at one moment
       try {
         const lock = await lockRun(process.argv[2]);
         closeSync(openSync(process.argv[3], "wx")); // throws where another is in
         inside++;
         await new Promise((resolve) => setTimeout(resolve, 20));
         rmSync(process.argv[3]);
         lock.release();
       } catch (error) {
         if (error.name !== "InputError") throw error;
         refused++;
       }
     }
     console.log(inside, refused);`,
    temporaryDirectory(),
  );
  const soon = `${Date.now() + 2000}`;
  const running = Array.from({ length: 4 }, async () => {
    const child = spawn(process.execPath, [script, directory, join(directory, "inside"), soon], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [said, error] = ["", ""];
    child.stdout.on("data", (chunk) => (said += chunk));
    child.stderr.on("data", (chunk) => (error += chunk));
    await once(child, "close");
    expect(error).toBe("");
    return Number(said.split(" ")[0]);
  });
  const inside = await Promise.all(running);
  expect(inside.reduce((a, b) => a + b)).toBeGreaterThan(4);
  expect(readdirSync(directory)).toEqual([]);
});
