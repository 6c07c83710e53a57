// Runs whose steps are made of micro-batches: resumed bit for bit, and refused where the parts would be unequal.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { type Run, restoreRun, saveRun, trainStep } from "../../packages/cli/src/training/run.ts";
import { tweedie, writeSquares } from "./commandLine.ts";
import { partsOf, SMALL, saveSmall, smallRun, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-accumulate-"));
afterAll(() => rmSync(work, { recursive: true }));

const images = {
  images: new Uint8Array(20 * 64).map((_, k) => (k % 7) * 40),
  labels: new Uint8Array(20).map((_, k) => k % 10),
  count: 20,
  height: 8,
  width: 8,
  channels: 1,
};

async function after(run: Run, steps: number, name: string): Promise<string> {
  while (run.optimizer.steps < steps) await trainStep(run, images);
  const path = join(work, `${name}.safetensors`);
  await saveRun(path, run);
  return path;
}

test.each([
  ["cpu", () => cpu()],
  ["wasm", () => wasm({ threads: 1 })],
] as const)("a run of micro-batches goes on bit for bit on %s", async (_, open) => {
  const backend = await open();
  const settings = { ...SMALL, accumulate: 2 };
  const whole = loadCheckpoint(await after(smallRun(backend, settings), 5, "whole"), "resume");
  const resumed = restoreRun(loadCheckpoint(await after(smallRun(backend, settings), 2, "part"), "resume"), backend);
  expect(resumed.settings).toEqual(settings);
  const again = loadCheckpoint(await after(resumed, 5, "resumed"), "resume");
  expect(again.groups).toEqual(whole.groups);
  expect(again.header.rng).toEqual(whole.header.rng);
  backend.dispose();
});

test("the command keeps --accumulate, and refuses parts of unequal size", async () => {
  const data = join(work, "data");
  writeSquares(data);
  const at = ["train", "--data", data, "--backend", "cpu", "--out", join(work, "out")];
  const begun = [...at, "--channels", "2", "--multipliers", "1", "--batch", "4"];
  const uneven = await tweedie(...begun, "--accumulate", "3", "--steps", "1");
  expect([uneven.code, uneven.error]).toEqual([2, "error: --accumulate 3: want a divisor of --batch 4\n"]);
  const { code, error } = await tweedie(...begun, "--accumulate", "2", "--steps", "2");
  expect(code, error).toBe(0);
  const path = join(work, "out", "checkpoint.safetensors");
  expect(loadCheckpoint(path, "resume").header.settings).toMatchObject({ batch: 4, accumulate: 2 });
  expect((await tweedie(...at, "--resume", "--steps", "3")).code).toBe(0);
  const other = await tweedie(...at, "--resume", "--accumulate", "4", "--steps", "4");
  expect([other.code, other.error]).toEqual([
    2,
    expect.stringContaining(`--accumulate 4: ${path} was made with 2, want`),
  ]);
});

test("a checkpoint whose parts would be unequal is refused", async () => {
  const path = join(work, "uneven.safetensors");
  await saveSmall(path, cpu());
  const { header, data } = partsOf(path);
  const run = JSON.parse(header.__metadata__.tweedie);
  run.settings.accumulate = 3;
  header.__metadata__.tweedie = JSON.stringify(run);
  writeParts(path, header, data);
  expect(() => loadCheckpoint(path, "resume")).toThrow("settings.accumulate 3, want a divisor of settings.batch, 4");
});
