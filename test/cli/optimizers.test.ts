// Runs with each optimizer and each fall of the learning rate, and the flags that ask for them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answerOneOf } from "@pkg/command";
import { rateAt } from "@pkg/nn";
import { type Backend, cpu, wasm } from "@pkg/tensor";
import { afterAll, expect, test, vi } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { COMMANDS } from "../../packages/cli/src/main.ts";
import { DECAY_NAMES, OPTIMIZER_NAMES, rateOf } from "../../packages/cli/src/settings/optimizers.ts";
import type { Settings } from "../../packages/cli/src/settings/settings.ts";
import { restoreRun } from "../../packages/cli/src/training/run.ts";
import { tweedie, writeSquares } from "./commandLine.ts";
import { SMALL, savedAfter, smallRun } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-optimizers-"));
afterAll(() => rmSync(work, { recursive: true }));

const BACKENDS: readonly [name: string, open: () => Backend | Promise<Backend>][] = [
  ["cpu", () => cpu()],
  ["wasm", () => wasm({ threads: 1 })],
];

test.each(BACKENDS.flatMap(([name, open]) => OPTIMIZER_NAMES.map((optimizer) => [optimizer, name, open] as const)))(
  "a run with %s goes on bit for bit on %s, at a rate that falls",
  async (optimizer, _, open) => {
    const backend = await open();
    const lrDecay = { schedule: "cosine", steps: 6 } as const;
    const settings: Settings = { ...SMALL, optimizer, lrDecay };
    const whole = loadCheckpoint(
      await savedAfter(smallRun(backend, settings), 5, join(work, "whole.safetensors")),
      "resume",
    );
    const part = await savedAfter(smallRun(backend, settings), 2, join(work, "part.safetensors"));
    const resumed = restoreRun(loadCheckpoint(part, "resume"), backend);
    expect(resumed.settings).toEqual(settings);
    expect(loadCheckpoint(await savedAfter(resumed, 5, join(work, "resumed.safetensors")), "resume").groups).toEqual(
      whole.groups,
    );
    const plain = loadCheckpoint(
      await savedAfter(smallRun(backend, { ...SMALL, lrDecay }), 5, join(work, "plain.safetensors")),
      "resume",
    );
    if (optimizer === "adamw") expect(plain.groups).toEqual(whole.groups);
    else expect(plain.groups.get("model")).not.toEqual(whole.groups.get("model"));
    backend.dispose();
  },
);

test("every fall of the rate begins at --lr after the warm-up, and is there for the names of the flag", () => {
  for (const schedule of DECAY_NAMES) {
    const lr = rateOf({ ...SMALL, warmup: 1, lrDecay: { schedule, steps: 10 } });
    expect(rateAt(lr, 0)).toBe(SMALL.lr);
    expect(rateAt(lr, 40)).toBeCloseTo(schedule === "invsqrt" ? SMALL.lr / 2 : 0, 15);
  }
  expect(rateAt(rateOf({ ...SMALL, warmup: 1 }), 40)).toBe(SMALL.lr);
});

test("the command trains by the optimizer that was asked for, keeps it, and refuses what makes no sense", async () => {
  const data = join(work, "data");
  writeSquares(data);
  const at = ["train", "--data", data, "--backend", "cpu", "--out", join(work, "out")];
  const begun = [...at, "--channels", "2", "--multipliers", "1", "--batch", "4", "--optimizer", "muon"];
  const begin = await tweedie(...begun, "--lr-schedule", "invsqrt", "--steps", "2");
  expect(begin.code, begin.error).toBe(0);
  const path = join(work, "out", "checkpoint.safetensors");
  const { settings } = loadCheckpoint(path, "resume").header;
  expect(settings).toMatchObject({ optimizer: "muon", lrDecay: { schedule: "invsqrt", steps: 2 } });
  const more = await tweedie(...at, "--resume", "--lr-steps", "3", "--steps", "3");
  expect([more.code, more.out]).toEqual([0, expect.stringContaining("from step 2 on: lr-steps 3 instead of 2\n")]);
  for (const [flags, wanted] of [
    [["--resume", "--optimizer", "lion"], `--optimizer lion: ${path} was made with muon, want that or nothing`],
    [["--resume", "--lr-schedule", "cosine"], `--lr-schedule cosine: ${path} was made with invsqrt, want that`],
    [["--optimizer", "adam"], "--optimizer adam: want adamw or sgd or lion or muon"],
    [["--lr-schedule", "cosine", "--minutes", "1"], "--lr-schedule cosine: want --lr-steps or --steps with it"],
    [["--lr-steps", "5"], "--lr-steps 5: want --lr-schedule cosine or linear or invsqrt with it"],
  ] as const) {
    let error = "";
    const spy = vi.spyOn(process.stderr, "write").mockImplementation((said) => {
      error += said;
      return true;
    });
    const code = await answerOneOf(COMMANDS, [...at, ...flags]);
    spy.mockRestore();
    expect([code, error]).toEqual([2, expect.stringContaining(wanted)]);
  }
});
