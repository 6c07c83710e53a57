// What a run can be trained to do: each objective of the list trains, resumes bit for bit, is exported and draws.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cosine, solvers } from "@pkg/diffusion";
import { cpu } from "@pkg/tensor";
import { afterAll, describe, expect, test } from "vitest";
import { loadCheckpoint } from "../../packages/cli/src/checkpoint/checkpoint.ts";
import { OBJECTIVE_NAMES, type ObjectiveName, objectiveOf } from "../../packages/cli/src/settings/objectives.ts";
import { restoreRun, saveRun, trainStep } from "../../packages/cli/src/training/run.ts";
import { hash, tweedie, writeSquares } from "./commandLine.ts";
import { SMALL, smallRun } from "./smallRun.ts";

const work = mkdtempSync(join(tmpdir(), "tweedie-objectives-"));
afterAll(() => rmSync(work, { recursive: true }));
const data = join(work, "data");
writeSquares(data);
const FLAGS = ["--data", data, "--channels", "4", "--multipliers", "1,2", "--batch", "8", "--backend", "cpu"];

/** A data set of 8 × 8 gradients. */
const images = {
  images: Uint8Array.from({ length: 12 * 64 }, (_, i) => (i * 37) % 256),
  labels: Uint8Array.from({ length: 12 }, (_, i) => i % 10),
  count: 12,
  height: 8,
  width: 8,
  channels: 1,
};

/** Those that solvers draw with; fewStepObjectives.test.ts has the others. */
const solved = OBJECTIVE_NAMES.filter((objective) => objectiveOf({ objective }).sampler);

describe.each(solved)("%s", (objective) => {
  const { network, grids, hasSchedule, ...rest } = objectiveOf({ objective });
  const sampler = rest.sampler ?? expect.fail("no sampler");
  const settings = { ...SMALL, objective, model: { ...SMALL.model, ...network } };

  test("a run that is saved, loaded and resumed goes on with the same bits", async () => {
    const path = join(work, `${objective}.safetensors`);
    const whole = smallRun(cpu(), settings);
    const losses = [];
    for (let step = 0; step < 4; step++) {
      losses.push(await trainStep(whole, images));
      if (step === 1) await saveRun(path, whole);
    }
    const checkpoint = loadCheckpoint(path, "resume");
    expect(checkpoint.header.settings.objective).toBe(objective);
    const resumed = restoreRun(checkpoint, cpu());
    expect([await trainStep(resumed, images), await trainStep(resumed, images)]).toEqual(losses.slice(2));
    expect(new Set(losses).size).toBe(4);
  });

  test("the samplers of its grids are there, and most solvers", () => {
    for (const grid of grids) expect(sampler(grid.sampler, 3, cosine(10)).levels).toHaveLength(4);
    const able = solvers.filter(({ name }) => {
      try {
        return sampler(name, 3, cosine(10)) !== undefined;
      } catch {
        return false;
      }
    });
    expect(able.length).toBeGreaterThanOrEqual(hasSchedule ? solvers.length : solvers.length - 1);
  });
});

test("train --objective flow, resumed, drawn and exported by commands", async () => {
  const [whole, parts] = [join(work, "whole"), join(work, "parts")];
  const train = (...flags: string[]) => tweedie("train", ...FLAGS, "--objective", "flow", ...flags);
  expect((await train("--steps", "4", "--out", whole)).code).toBe(0);
  expect((await train("--steps", "2", "--out", parts)).code).toBe(0);
  const rest = await tweedie(
    "train",
    ...FLAGS.slice(0, 2),
    "--backend",
    "cpu",
    "--resume",
    "--steps",
    "4",
    "--out",
    parts,
  );
  expect([rest.error.includes("error"), rest.code]).toEqual([false, 0]);
  const checkpoint = join(parts, "checkpoint.safetensors");
  expect(hash(checkpoint)).toBe(hash(join(whole, "checkpoint.safetensors")));
  const grid = ["--count", "4", "--ddim-steps", "3", "--ancestral-steps", "2", "--backend", "cpu"];
  const drawn = join(work, "drawn");
  expect((await tweedie("sample", "--checkpoint", checkpoint, "--out", drawn, ...grid)).code).toBe(0);
  expect(readdirSync(drawn)).toEqual(["samples-ddim.png", "samples-eulerAncestral.png"]);
  const small = join(work, "small.safetensors");
  expect((await tweedie("export", "--checkpoint", checkpoint, "--to", small)).code).toBe(0);
  const again = join(work, "again");
  const heun = ["--sampler", "heun", "--steps", "3", "--count", "1", "--backend", "cpu"];
  expect((await tweedie("sample", "--checkpoint", small, "--out", again, ...heun)).code).toBe(0);
  const wrong = await tweedie("sample", "--checkpoint", small, "--out", again, "--sampler", "ancestral");
  expect([wrong.code, wrong.error]).toEqual([
    2,
    "error: --sampler ancestral: ancestral: path is a noise path, want a path of a schedule's steps: discretePath(schedule, { steps })\n",
  ]);
  const other = await tweedie("train", "--resume", "--objective", "noise", "--data", data, "--out", parts);
  expect(other.error).toContain("--objective noise: ");
  expect(other.error).toContain("was made with flow, want that or nothing with --resume");
});

test("an unknown objective is refused with the list, and flags of a schedule where there is none", async () => {
  const refused = async (...flags: string[]) => {
    const { code, error } = await tweedie("train", ...FLAGS, "--out", join(work, "never"), ...flags);
    expect(code).toBe(2);
    return error;
  };
  expect(await refused("--objective", "nonsense")).toContain(`want ${OBJECTIVE_NAMES.join(" or ")}`);
  expect(await refused("--objective", "flow", "--schedule", "linear")).toBe(
    "error: --schedule linear: want none with --objective flow\n",
  );
});

test("a checkpoint without an objective is one of the noise", () => {
  const header = JSON.stringify(SMALL);
  expect(header).not.toContain("objective");
  expect(objectiveOf(SMALL)).toBe(objectiveOf({ objective: "noise" satisfies ObjectiveName }));
  // The one that comes with the project is from before there was a choice.
  expect(loadCheckpoint("docs/mnist.safetensors", "draw").header.settings.objective).toBe(undefined);
});
