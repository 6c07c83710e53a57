// The training loop where things go wrong: weights that are no numbers, disks that refuse, devices that are lost.
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Backend, cpu, wasm, webgpu } from "@pkg/tensor";
import { afterAll, expect, test, vi } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { lockRun } from "../../packages/cli/src/files/runLock.ts";
import { readRunLog } from "../../packages/cli/src/files/runLog.ts";
import type { TrainFiles } from "../../packages/cli/src/files/saving.ts";
import { type Run, restoreRun, saveRun } from "../../packages/cli/src/training/run.ts";
import { train } from "../../packages/cli/src/training/train.ts";
import { trainPastLosses } from "../../packages/cli/src/training/trainPastLosses.ts";
import { gpuAvailable } from "../setup/gpu.ts";
import { hash } from "./commandLine.ts";
import { IMAGES, SMALL, smallRun } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-train-"));
afterAll(() => rmSync(work, { recursive: true }));

const never = new AbortController().signal;
const plan = (steps: number, saveEvery = 1e9) => ({ budget: { steps }, began: performance.now(), saveEvery });

/** A folder with the checkpoint of a run's beginning. */
async function filesFor(name: string, run: Run): Promise<TrainFiles> {
  const out = mkdtempSync(join(work, name));
  const files = {
    checkpoint: join(out, "checkpoint.safetensors"),
    log: join(out, "log.jsonl"),
    lock: await lockRun(out),
  };
  await saveRun(files.checkpoint, run);
  return files;
}

/** The checkpoint after so many undisturbed steps. */
async function wholeRun(backend: Backend, steps: number): Promise<string> {
  const run = smallRun(backend);
  const files = await filesFor("whole", run);
  await train(run, IMAGES, plan(steps), files, never);
  return hash(files.checkpoint);
}

/** What was written to standard error meanwhile. */
async function toldBy(f: () => Promise<void>): Promise<string> {
  let told = "";
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    told += text;
    return true;
  });
  try {
    await f();
  } finally {
    spy.mockRestore();
  }
  return told;
}

test.each([
  ["the last update", 1],
  ["an update on the way", 5],
])("weights that %s made infinite are not saved over good ones, and the advice leads on", async (_, steps) => {
  // The loss is that of the weights before the update: it is finite.
  const files = await filesFor("infinite", smallRun(cpu()));
  const run = restoreRun(loadCheckpoint(files.checkpoint, "resume"), cpu(), { ...SMALL, lr: 1e39, warmup: 0 });
  const before = hash(files.checkpoint);
  const failure = await train(run, IMAGES, plan(steps), files, never).catch((error: Error) => error);
  expect(`${failure}`).toMatch(
    /^ForeseenError: (the loss of step 1 is NaN|(model|ema|optimizer)\S+ has (NaN|-?Infinity) after 1 steps): the learning rate is too high; .*checkpoint\.safetensors stays as after 0 steps, go on from there with --resume --lr 1e\+38$/,
  );
  expect(hash(files.checkpoint)).toBe(before);
  const resumed = restoreRun(loadCheckpoint(files.checkpoint, "resume"), cpu(), SMALL);
  expect(await train(resumed, IMAGES, plan(3), files, never)).toBe(false);
});

test("a state that is not finite in one element of any tensor is not saved", async () => {
  for (const group of ["model", "average", "optimizer"] as const) {
    const backend = cpu();
    const run = smallRun(backend);
    const files = await filesFor("poisoned", run);
    const before = hash(files.checkpoint);
    const state = group === "model" ? new Map([["norm.bias", run.model.norm.bias]]) : run[group].state();
    const target = [...state.values()].at(-1)!;
    const values = Float32Array.from(await target.data());
    values[values.length - 1] = Number.NaN;
    const { tensor } = await import("@pkg/tensor");
    target.assign(tensor(values, { backend, shape: target.shape }));
    await expect(train(run, IMAGES, plan(0), files, never)).rejects.toThrow(
      / has NaN after 0 steps: the learning rate/,
    );
    expect(hash(files.checkpoint)).toBe(before);
  }
});

test("a disk that refuses for a while costs nothing: told once, tried again, and the run ends bit for bit as it would have", async () => {
  const run = smallRun(cpu());
  const files = await filesFor("refused", run);
  const out = join(files.checkpoint, "..");
  const stop = new AbortController();
  let steps = 0;
  const told = await toldBy(async () => {
    const until = async (isSo: () => boolean) => {
      while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
    };
    const ending = train(
      run,
      IMAGES,
      { budget: { minutes: 10 }, began: performance.now(), saveEvery: 0 },
      files,
      stop.signal,
    );
    await until(() => run.optimizer.steps > 3);
    renameSync(out, `${out}-away`);
    writeFileSync(out, "");
    const then = run.optimizer.steps;
    await until(() => run.optimizer.steps > then + 5);
    rmSync(out);
    await until(() => existsSync(files.checkpoint));
    stop.abort();
    expect(await ending).toBe(true);
    steps = run.optimizer.steps;
  });
  expect(told.split("cannot save: ").length, told).toBe(2);
  expect(told).toMatch(/cannot save: .*refused.*; training goes on, and tries again\n/);
  expect(told).toMatch(/saved again, after \d+ steps\n/);
  expect(readRunLog(files.log).map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, step) => step));
  expect(hash(files.checkpoint)).toBe(await wholeRun(cpu(), steps));
  files.lock.release();
  expect(readFileSync(files.checkpoint).length).toBeGreaterThan(0);
});

const BACKENDS: [string, () => Backend | Promise<Backend>, boolean, losses: number[], steps: number][] = [
  ["wasm", wasm, true, [3, 30], 60],
  // Where every new device compiles its kernels anew, one loss has to do.
  ["webgpu", webgpu, gpuAvailable, [2], 8],
];

for (const [name, open, isThere, lostAfter, steps] of BACKENDS) {
  test.skipIf(!isThere)(`on ${name}, a run whose device is lost goes on with another, bit for bit`, async () => {
    const devices: Backend[] = [await open()];
    const run = smallRun(devices[0]);
    const files = await filesFor("lost", run);
    const losses = [...lostAfter];
    const lose = setInterval(() => {
      const step = existsSync(files.log) ? (readRunLog(files.log).at(-1)?.step ?? 0) : 0;
      if (losses.length < 1 || step < losses[0]) return;
      losses.shift();
      devices.at(-1)?.dispose();
    }, 1);
    const reopen = async () => {
      devices.push(await open());
      return devices.at(-1)!;
    };
    const told: string[] = [];
    const spy = vi.spyOn(process.stdout, "write").mockImplementation((text) => told.push(`${text}`) > 0);
    try {
      const ended = await trainPastLosses(run, IMAGES, plan(steps, 0.05), files, never, reopen);
      expect(ended.stopped).toBe(false);
      expect(ended.run.optimizer.steps).toBe(steps);
    } finally {
      clearInterval(lose);
      spy.mockRestore();
    }
    expect(devices).toHaveLength(1 + lostAfter.length);
    expect(told.filter((line) => /; going on from .*, after \d+ steps, on a new device\n$/.test(line))).toHaveLength(
      lostAfter.length,
    );
    expect(readRunLog(files.log).map(({ step }) => step)).toEqual(Array.from({ length: steps }, (_, step) => step));
    expect(hash(files.checkpoint)).toBe(await wholeRun(devices.at(-1)!, steps));
    files.lock.release();
  });
}

test("devices that are lost again and again end the run in one line that says how to go on", async () => {
  const run = smallRun(await wasm());
  const files = await filesFor("again", run);
  run.backend.dispose();
  let opened = 0;
  const reopen = async () => {
    opened++;
    const backend = await wasm();
    setTimeout(() => backend.dispose(), 0);
    return backend;
  };
  const spy = vi.spyOn(process.stdout, "write").mockImplementation(() => true);
  try {
    await expect(trainPastLosses(run, IMAGES, plan(1e6), files, never, reopen)).rejects.toThrow(
      /, 4 times since .*checkpoint\.safetensors, after 0 steps: go on from there with --resume$/,
    );
    expect(opened).toBe(3);
    const none = async () => Promise.reject(new Error("no device"));
    const other = smallRun(await wasm());
    other.backend.dispose();
    await expect(trainPastLosses(other, IMAGES, plan(9), files, never, none)).rejects.toThrow(
      /^no device; the run is in .*, after 0 steps: go on from there with --resume$/,
    );
  } finally {
    spy.mockRestore();
  }
});
