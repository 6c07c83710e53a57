// What a training run owns on disk, as people meet it: wrong checkpoints, two runs at once, old runs, failed saves.
import { spawnSync } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSafetensors } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { readRunLog } from "../../packages/cli/src/files/runLog.ts";
import { repetitions } from "../setup/repetitions.ts";
import { begin, ended, hash, tweedie, until, writeSquares } from "./commandLine.ts";
import { partsOf, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-run-files-"));
const data = join(work, "data");
afterAll(() => rmSync(work, { recursive: true }));
writeSquares(data);

const DATA = ["--data", data, "--backend", "cpu"];
const SMALL = [...DATA, "--channels", "4", "--multipliers", "1", "--batch", "8"];

test("a checkpoint with a wrong header ends sample, export and --resume in one line, and stays as it is", async () => {
  const out = join(work, "wrong");
  expect((await tweedie("train", ...SMALL, "--steps", "1", "--out", out)).code).toBe(0);
  const path = join(out, "checkpoint.safetensors");
  const { header, data: tensors } = partsOf(path);
  const settings = JSON.parse(header.__metadata__.tweedie);
  settings.settings.model.blocks = 1e9;
  writeParts(path, { ...header, __metadata__: { tweedie: JSON.stringify(settings) } }, tensors);
  const [before, log] = [hash(path), readFileSync(join(out, "log.jsonl"), "utf8")];
  for (const command of [
    ["sample", "--out", out, "--backend", "cpu"],
    ["export", "--out", out, "--to", join(out, "small")],
    ["train", ...DATA, "--resume", "--out", out],
    ["start", ...DATA, "--resume", "--out", out],
  ]) {
    expect(await tweedie(...command), command[0]).toEqual({
      code: 2,
      out: "",
      error: `error: ${path}: settings.model.blocks 1000000000, want 1 as in its weights\n`,
    });
  }
  expect([hash(path), readFileSync(join(out, "log.jsonl"), "utf8")]).toEqual([before, log]);

  // A damaged log is told as shortly, and need not be kept.
  writeParts(path, header, tensors);
  writeFileSync(join(out, "log.jsonl"), "what is this?\n");
  const damaged = await tweedie("train", ...DATA, "--resume", "--steps", "2", "--out", out);
  expect([damaged.code, damaged.error]).toEqual([
    2,
    `error: runLog: ${out}/log.jsonl: line 1 is what is this?, want {"step": …} past step -1; move it away to go on with a new log\n`,
  ]);
  rmSync(join(out, "log.jsonl"));
  expect((await tweedie("train", ...DATA, "--resume", "--steps", "2", "--out", out)).code).toBe(0);
});

const settingsOf = (path: string) => JSON.parse(partsOf(path).header.__metadata__.tweedie).settings;
const checkpointIn = (out: string) => join(out, "checkpoint.safetensors");

test("a new run moves an earlier one aside, whole, and says where", async () => {
  const out = join(work, "twice");
  const first = await tweedie(
    "start",
    ...SMALL,
    "--count",
    "1",
    "--ddim-steps",
    "2",
    "--ancestral-steps",
    "2",
    "--steps",
    "2",
    "--out",
    out,
  );
  expect([first.code, first.out.includes("earlier")]).toEqual([0, false]);
  const names = readdirSync(out).filter((name) => !name.startsWith("pretrained"));
  const before = names.map((name) => hash(join(out, name)));
  const second = await tweedie(
    "start",
    ...SMALL,
    "--count",
    "1",
    "--ddim-steps",
    "2",
    "--ancestral-steps",
    "2",
    "--steps",
    "1",
    "--seed",
    "1",
    "--out",
    out,
  );
  expect([second.code, second.error.includes("error")]).toEqual([0, false]);
  const aside = join(out, "earlier-1");
  expect(second.out).toContain(`the earlier run in ${out} is now in ${aside}\n`);
  expect(readdirSync(aside).sort()).toEqual(names.sort());
  expect(names.map((name) => hash(join(aside, name)))).toEqual(before);
  expect(settingsOf(checkpointIn(out)).seed).toBe(1);
  expect(readRunLog(join(out, "log.jsonl"))).toHaveLength(1);
  const third = await tweedie("train", ...SMALL, "--steps", "1", "--out", out);
  expect(third.out).toContain(join(out, "earlier-2"));
});

test("pictures of sample, a link to nothing and a folder make room for a run as an earlier one does", async () => {
  const out = join(work, "in-the-way");
  mkdirSync(join(out, "loss.svg"), { recursive: true });
  writeFileSync(join(out, "samples-ddim.png"), "drawn before");
  symlinkSync("nowhere", checkpointIn(out));
  const { code, out: said } = await tweedie("train", ...SMALL, "--steps", "1", "--out", out);
  const aside = join(out, "earlier-1");
  expect([code, said.includes(`is now in ${aside}\n`)]).toEqual([0, true]);
  expect(readdirSync(aside).sort()).toEqual(["checkpoint.safetensors", "loss.svg", "samples-ddim.png"]);
  expect(readdirSync(out).sort()).toEqual(["checkpoint.safetensors", "earlier-1", "log.jsonl", "loss.svg"]);
});

test("no kill leaves a log beside the checkpoint of another run, and --resume goes on from whatever is left", async () => {
  const out = join(work, "killed-anew");
  for (let k = 0; k < repetitions("kills of a new run"); k++) {
    const lr = (k + 1) / 1000; // names the run
    const child = begin("train", ...SMALL, "--minutes", "5", "--save-every", "0", "--lr", `${lr}`, "--out", out);
    const end = ended(child);
    // Around the moment at which files are moved, and then some steps later.
    await until(() => existsSync(out) && readdirSync(out).some((name) => name.endsWith(".lock")));
    await new Promise((resolve) => setTimeout(resolve, 60 * (k % 6) + (k % 7)));
    child.kill("SIGKILL");
    await end;
    if (!existsSync(checkpointIn(out))) continue;
    const log = existsSync(join(out, "log.jsonl")) ? readRunLog(join(out, "log.jsonl")) : [];
    if (log.length > 0) expect(log[0].lr).toBe(settingsOf(checkpointIn(out)).lr);
  }
  const { code } = await tweedie("train", ...DATA, "--resume", "--steps", "1", "--out", out);
  expect(code).toBe(existsSync(checkpointIn(out)) ? 0 : 2);
});

test("a second run into a folder in use is refused, and the first goes on undisturbed", async () => {
  const [out, alone] = [join(work, "shared"), join(work, "alone")];
  const first = begin("train", ...SMALL, "--minutes", "5", "--out", out);
  const end = ended(first);
  await until(() => existsSync(join(out, "log.jsonl")));
  for (const flags of [SMALL, [...DATA, "--resume"]]) {
    const { code, error } = await tweedie("train", ...flags, "--steps", "1", "--out", out);
    expect([code, error]).toEqual([
      2,
      `error: --out ${out}: process ${first.pid} trains into it, want another folder, or its end\n`,
    ]);
  }
  first.kill("SIGINT");
  expect((await end).code).toBe(130);
  const { step } = JSON.parse(partsOf(checkpointIn(out)).header.__metadata__.tweedie);
  expect((await tweedie("train", ...SMALL, "--steps", `${step}`, "--out", alone)).code).toBe(0);
  expect(hash(checkpointIn(out))).toBe(hash(checkpointIn(alone)));
  expect(readdirSync(out).filter((name) => name.startsWith("."))).toEqual([]);
});

test("export writes over nothing but an earlier export", async () => {
  const out = join(work, "exported");
  expect((await tweedie("train", ...SMALL, "--steps", "1", "--out", out)).code).toBe(0);
  const [small, thesis] = [join(work, "small.safetensors"), join(work, "thesis.txt")];
  writeFileSync(thesis, "all that I know");
  const before = [checkpointIn(out), thesis].map(hash);
  for (const to of [checkpointIn(out), thesis]) {
    const { code, error } = await tweedie("export", "--out", out, "--to", to);
    expect([code, error]).toEqual([
      2,
      `error: --to ${to}: is there and was not written by export, want another name\n`,
    ]);
  }
  expect([checkpointIn(out), thesis].map(hash)).toEqual(before);
  for (let k = 0; k < 2; k++) expect((await tweedie("export", "--out", out, "--to", small)).code).toBe(0);
  if (process.platform === "win32") return;
  const pipe = join(work, "pipe");
  spawnSync("sh", ["-c", 'mkfifo "$0"', pipe]);
  for (const flags of [
    ["export", "--out", out, "--to", pipe],
    ["train", ...SMALL, "--steps", "1", "--out", pipe],
  ]) {
    const { code, error } = await tweedie(...flags);
    expect([code, error.trim().split("\n").length], error).toEqual([2, 1]);
  }
  expect(lstatSync(pipe).isFIFO()).toBe(true);
});

test("a run that goes on may change how it learns, says so, logs it, and keeps the change bit for bit", async () => {
  const [whole, parts] = [join(work, "changed"), join(work, "changed-parts")];
  for (const out of [whole, parts])
    expect((await tweedie("train", ...SMALL, "--steps", "2", "--out", out)).code).toBe(0);
  const change = ["--lr", "0.0005", "--warmup", "0", "--clip", "0.5", "--ema", "0.9"];
  const resume = (out: string, ...flags: string[]) => tweedie("train", ...DATA, "--resume", "--out", out, ...flags);
  expect((await resume(whole, ...change, "--steps", "5")).out).toContain(
    ["lr 0.0005 instead of 0.001", "warmup 0 instead of 20", "clip 0.5 instead of 1", "ema 0.9 instead of 0.995"]
      .map((line) => `from step 2 on: ${line}\n`)
      .join(""),
  );
  expect((await resume(parts, ...change, "--steps", "3")).code).toBe(0);
  expect((await resume(parts, "--steps", "5")).code).toBe(0);
  expect(hash(checkpointIn(parts))).toBe(hash(checkpointIn(whole)));
  const log = readRunLog(join(parts, "log.jsonl"));
  expect(log.map(({ lr, warmup, clip, ema }) => [lr, warmup, clip, ema])).toEqual([
    [0.001, 20, 1, 0.995],
    [undefined, undefined, undefined, undefined],
    [0.0005, 0, 0.5, 0.9],
    [0.0005, 0, 0.5, 0.9],
    [undefined, undefined, undefined, undefined],
  ]);
  for (const [flag, value, known] of [
    ["batch", "9", "8"],
    ["schedule", "linear", "cosine"],
    ["channels", "6", "4"],
    ["seed", "1", "0"],
  ]) {
    const { code, error } = await resume(whole, `--${flag}`, value);
    expect([code, error]).toEqual([
      2,
      `error: --${flag} ${value}: ${checkpointIn(whole)} was made with ${known}, want that or nothing with --resume${flag === "channels" ? "" : "; --from starts a new run from its weights"}\n`,
    ]);
  }
});

test("--from starts a new run with the averaged weights of a checkpoint, or of what export wrote", async () => {
  const [out, next, small] = [join(work, "first"), join(work, "next"), join(work, "first.safetensors")];
  expect(
    (await tweedie("train", ...SMALL, "--schedule", "linear", "--labels", "--steps", "3", "--out", out)).code,
  ).toBe(0);
  expect((await tweedie("export", "--out", out, "--to", small)).code).toBe(0);
  for (const from of [checkpointIn(out), small]) {
    const { code, error } = await tweedie(
      "train",
      ...DATA,
      "--from",
      from,
      "--lr",
      "0",
      "--batch",
      "4",
      "--steps",
      "1",
      "--out",
      next,
    );
    expect([code, error.includes("error")]).toEqual([0, false]);
    const [before, after] = [from, checkpointIn(next)].map((path) => parseSafetensors(readFileSync(path)));
    const names = [...before.tensors.keys()].filter((name) => name.startsWith("ema."));
    expect(names.length).toBeGreaterThan(20);
    // A rate of 0 leaves the weights, so that they can be compared; the average may move by rounding.
    for (const name of names)
      expect(after.tensors.get(name.replace("ema.", "model."))?.data).toEqual(before.tensors.get(name)?.data);
    expect(JSON.parse(after.metadata.tweedie)).toMatchObject({
      step: 1,
      settings: { schedule: "linear", batch: 4, lr: 0, model: { channels: 4, classes: 10 } },
    });
  }
  const other = await tweedie("train", ...DATA, "--from", small, "--channels", "8", "--out", next);
  expect([other.code, other.error]).toEqual([
    2,
    `error: --channels 8: ${small} was made with 4, want that or nothing with --from\n`,
  ]);
  const both = await tweedie("train", ...DATA, "--from", small, "--resume", "--out", next);
  expect([both.code, both.error]).toEqual([2, `error: --from ${small}: want it or --resume, not both\n`]);
});

test.runIf(process.platform === "linux")("a disk that fills up and is emptied again costs a run nothing", async () => {
  const [out, alone] = [join(work, "full"), join(work, "never-full")];
  const child = begin("train", ...SMALL, "--minutes", "5", "--save-every", "0", "--out", out);
  const end = ended(child);
  let told = "";
  child.stderr?.on("data", (chunk) => (told += chunk));
  await until(() => existsSync(join(out, "log.jsonl")) && readRunLog(join(out, "log.jsonl")).length > 2);
  // A limit on the size of files stands in for a full disk; checkpoints are larger, the log is not yet.
  const limit = (bytes: string) => spawnSync("sh", ["-c", 'prlimit --pid "$0" --fsize="$1:"', `${child.pid}`, bytes]);
  expect(limit("20000").status).toBe(0);
  await until(() => told.includes("cannot save"));
  const { length } = readRunLog(join(out, "log.jsonl"));
  await until(() => readRunLog(join(out, "log.jsonl")).length > length + 3);
  limit("unlimited");
  await until(() => told.includes("saved again"));
  child.kill("SIGINT");
  const { code } = await end;
  expect([code, told.split("cannot save").length]).toEqual([130, 2]);
  expect(told).toMatch(
    /cannot save: .*checkpoint\.safetensors stays as it was: EFBIG.*; training goes on, and tries again\n/,
  );
  const { step } = JSON.parse(partsOf(checkpointIn(out)).header.__metadata__.tweedie);
  expect((await tweedie("train", ...SMALL, "--steps", `${step}`, "--out", alone)).code).toBe(0);
  expect(hash(checkpointIn(out))).toBe(hash(checkpointIn(alone)));
});

test("where the last save fails the command says so in one line and ends with 1", async () => {
  const out = join(work, "gone");
  const child = begin("train", ...SMALL, "--minutes", "5", "--out", out);
  const end = ended(child);
  await until(() => existsSync(join(out, "log.jsonl")) && readRunLog(join(out, "log.jsonl")).length > 0);
  renameSync(out, join(work, "moved"));
  writeFileSync(out, "a file where the folder was");
  child.kill("SIGINT");
  const { code, error } = await end;
  expect(code).toBe(1);
  expect(error).toMatch(/\nerror: the last save failed: .*gone: E[A-Z]+: .*\n$/);
  expect(error).not.toContain("    at ");
  // What was saved before is where it was moved to.
  expect((await tweedie("train", ...DATA, "--resume", "--steps", "1", "--out", join(work, "moved"))).code).toBe(0);
});
