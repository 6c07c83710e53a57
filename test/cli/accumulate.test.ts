// Runs whose steps are made of micro-batches: resumed bit for bit, and refused where the parts would be unequal.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { restoreRun } from "../../packages/cli/src/training/run.ts";
import { tweedie, writeSquares } from "./commandLine.ts";
import { partsOf, SMALL, savedAfter, saveSmall, smallRun, writeParts } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-accumulate-"));
afterAll(() => rmSync(work, { recursive: true }));

test.each([
  ["cpu", () => cpu()],
  ["wasm", () => wasm({ threads: 1 })],
] as const)("a run of micro-batches goes on bit for bit on %s", async (_, open) => {
  const backend = await open();
  const settings = { ...SMALL, accumulate: 2 };
  const whole = loadCheckpoint(
    await savedAfter(smallRun(backend, settings), 5, join(work, "whole.safetensors")),
    "resume",
  );
  const resumed = restoreRun(
    loadCheckpoint(await savedAfter(smallRun(backend, settings), 2, join(work, "part.safetensors")), "resume"),
    backend,
  );
  expect(resumed.settings).toEqual(settings);
  const again = loadCheckpoint(await savedAfter(resumed, 5, join(work, "resumed.safetensors")), "resume");
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
