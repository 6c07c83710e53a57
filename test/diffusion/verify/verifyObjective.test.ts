// The constants between objectives, measured: the same for every score, and those of theory.
import {
  denoisingScoreMatching,
  drawProbes,
  gaussianOracle,
  implicitScoreMatching,
  mixtureOracle,
  type Score,
  slicedScoreMatching,
  slicedScoreMatchingVR,
  verifyObjective,
} from "@pkg/diffusion";
import { cpu, type RandomStream, randomStream, type Tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const normal = gaussianOracle({ variance: 1, shape: [1] });
const half: Score = (x) => x.mul(-0.5);
const ERRORS = 4;

describe("with s = −x / 2 on N(0, 1)", () => {
  test("implicit matching is −3/8, explicit 1/8, and the constant −½", async () => {
    const report = await verifyObjective(implicitScoreMatching, normal, half, randomStream(1), { backend });
    for (const [part, wanted] of [
      ["objective", -0.375],
      ["explicit", 0.125],
      ["gap", -0.5],
      ["constant", -0.5],
      ["excess", 0],
    ] as const) {
      const { mean, standardError } = report[part];
      expect(Math.abs(mean - wanted), part).toBeLessThanOrEqual(ERRORS * standardError);
      expect(standardError, part).toBeLessThan(0.02);
    }
  });

  test("denoising at σ = ½ is 1.65625, and ½ (1/σ² − 1/(1 + σ²)) above explicit matching of q_σ", async () => {
    const objective = (score: Score, x: Tensor, rng: RandomStream) => denoisingScoreMatching(score, x, 0.5, rng);
    const report = await verifyObjective(objective, normal, half, randomStream(2), { backend, sigma: 0.5 });
    // Explicitly: ½ (½ − 1/1.25)² · 1.25.
    for (const [part, wanted] of [
      ["objective", 1.65625],
      ["explicit", 0.05625],
      ["gap", 1.6],
      ["constant", 1.6],
      ["excess", 0],
    ] as const) {
      const { mean, standardError } = report[part];
      expect(Math.abs(mean - wanted), part).toBeLessThanOrEqual(ERRORS * standardError);
      expect(standardError, part).toBeLessThan(0.04);
    }
  });

  test("an objective that is off by 0.05 is caught", async () => {
    const wrong = (score: Score, x: Tensor) => implicitScoreMatching(score, x).add(0.05);
    const { excess } = await verifyObjective(wrong, normal, half, randomStream(1), { backend });
    expect(Math.abs(excess.mean)).toBeGreaterThan(ERRORS * excess.standardError);
  });
});

describe("on a mixture, with a score far from its own", () => {
  const oracle = mixtureOracle({
    weights: [1, 2],
    means: [
      [-1, 0],
      [1, 1],
    ],
    variances: [0.5, [0.3, 1]],
  });
  const score: Score = (x) => x.mul(0.8).sin().sub(x.mul(0.5));
  test.each([
    ["implicit", implicitScoreMatching, undefined],
    ["sliced", (s: Score, x: Tensor, rng: RandomStream) => slicedScoreMatching(s, x, drawProbes(x, rng)), undefined],
    [
      "sliced VR",
      (s: Score, x: Tensor, rng: RandomStream) => slicedScoreMatchingVR(s, x, drawProbes(x, rng)),
      undefined,
    ],
    ["denoising", (s: Score, x: Tensor, rng: RandomStream) => denoisingScoreMatching(s, x, 0.7, rng), 0.7],
    [
      "denoising with the control variate, at a small σ",
      (s: Score, x: Tensor, rng: RandomStream) => denoisingScoreMatching(s, x, 0.02, rng, { controlVariate: true }),
      0.02,
    ],
  ] as const)("%s matching is explicit matching and a constant", async (_, objective, sigma) => {
    const options = { backend, ...(sigma !== undefined && { sigma }) };
    const { excess, constant } = await verifyObjective(objective, oracle, score, randomStream(5), options);
    expect(Math.abs(excess.mean)).toBeLessThan(ERRORS * excess.standardError);
    expect(excess.standardError).toBeLessThan(0.05);
    expect(Math.abs(constant.mean)).toBeGreaterThan(0.3);
  });
});

test("what does not fit is refused", async () => {
  const run = (options: object, objective = implicitScoreMatching) =>
    verifyObjective(objective, normal, half, randomStream(0), { backend, ...options });
  await expect(run({ sigma: 0 })).rejects.toThrow("verifyObjective: σ is 0, want a finite number above 0");
  await expect(run({ batches: 1 })).rejects.toThrow("verifyObjective: 1 batches, want two or more");
  await expect(run({ batch: 0 })).rejects.toThrow("verifyObjective: a batch of 0, want a positive integer");
  await expect(run({}, (_, x) => x.sum().mul(Number.NaN))).rejects.toThrow("verifyObjective: batch 0 gives NaN");
});
