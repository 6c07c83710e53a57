// Losses at given times and with given noise, against the same sums written out by hand.
import {
  alphaBarAt,
  annealedScoreMatching,
  boundLoss,
  boundTerms,
  denoisingScoreMatching,
  edmLoss,
  gaussianDecoder,
  hybridLoss,
  linear,
  linearGamma,
  noisePrediction,
  predictionLoss,
  priorTerm,
  qSample,
  vdmLoss,
} from "@pkg/diffusion";
import { concat, cpu, ones, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const schedule = linear(100);
const X = [0.5, -1, 2, 0.25];
const E = [0.1, -0.7, 1.5, 0.3];
const TIMES = [3, 80];
const x0 = tensor(Float64Array.from(X), { backend, shape: [2, 2] });
const noise = tensor(Float64Array.from(E), { backend, shape: [2, 2] });
const half = { forward: (x: Tensor) => x.mul(0.5) };
/** The mean over the elements of a function of each one's index and sample. */
const mean = (of: (k: number, sample: number) => number) => X.reduce((sum, _, k) => sum + of(k, k >> 1), 0) / 4;

describe("times and noise that are given", () => {
  const noisy = (k: number, i: number) => {
    const alphaBar = alphaBarAt(schedule, TIMES[i]);
    return Math.sqrt(alphaBar) * X[k] + Math.sqrt(1 - alphaBar) * E[k];
  };
  const before = randomStream(1).next();
  const given = () => {
    const rng = randomStream(1);
    return { rng, unused: () => expect(rng.next()).toBe(before) };
  };

  test("predictionLoss and noisePrediction, of a list and of a tensor, draw nothing", async () => {
    const wanted = mean((k, i) => (0.5 * noisy(k, i) - E[k]) ** 2);
    for (const times of [TIMES, tensor(Int32Array.from(TIMES), { backend })]) {
      const { rng, unused } = given();
      expect(await predictionLoss(half, schedule, x0, rng, { times, noise }).item()).toBeCloseTo(wanted, 12);
      expect(await noisePrediction(half, schedule, x0, rng, { times, noise }).item()).toBeCloseTo(wanted, 12);
      unused();
    }
  });

  test("of a drawn noise are the draw itself, bit for bit", async () => {
    const one = cpu();
    const x = randomStream(2).normal([2, 2], { backend: one });
    const drawn = qSample(schedule, x, TIMES, randomStream(3));
    const again = qSample(schedule, x, TIMES, randomStream(4), { noise: drawn.noise });
    expect(await again.noisy.data()).toEqual(await drawn.noisy.data());
  });

  test("weights and reports are of the given steps", async () => {
    let seen: { times: Tensor; losses: Tensor } | undefined;
    const report = (found: { times: Tensor; losses: Tensor }) => {
      seen = found;
    };
    const options = { times: TIMES, noise, weight: (_: unknown, t: number) => t, report };
    const found = await predictionLoss(half, schedule, x0, randomStream(1), options).item();
    expect(found).toBeCloseTo(
      mean((k, i) => TIMES[i] * (0.5 * noisy(k, i) - E[k]) ** 2),
      12,
    );
    expect([...((await seen?.times.data()) ?? [])]).toEqual(TIMES);
    const first = (await seen?.losses.data())?.[0] ?? 0;
    expect(first).toBeCloseTo((3 * ((0.5 * noisy(0, 0) - E[0]) ** 2 + (0.5 * noisy(1, 0) - E[1]) ** 2)) / 2, 12);
  });

  test("boundLoss and hybridLoss are of their terms", async () => {
    const { noisy: x } = qSample(schedule, x0, TIMES, randomStream(1), { noise });
    const decoder = gaussianDecoder();
    const terms = await boundTerms(half, schedule, { x0, x, times: TIMES }, { decoder }).mean().item();
    const prior = await priorTerm(schedule, x0).mean().item();
    const { rng, unused } = given();
    const bound = await boundLoss(half, schedule, x0, rng, { times: TIMES, noise, decoder }).item();
    expect(bound).toBeCloseTo((100 * terms + prior) / (2 * Math.LN2), 10);
    const twice = { forward: (y: Tensor) => concat([y.mul(0.5), y.mul(0.5)], 1) };
    const found = await hybridLoss(twice, schedule, x0, rng, { times: TIMES, noise, lambda: 0 }).item();
    expect(found).toBeCloseTo(
      mean((k, i) => (0.5 * noisy(k, i) - E[k]) ** 2),
      12,
    );
    unused();
  });

  test("edmLoss at given σ, of a list and of a tensor", async () => {
    const sigmas = [0.3, 2];
    const wanted = mean((k, i) => {
      const error = 0.5 * (X[k] + sigmas[i] * E[k]) - X[k];
      return ((sigmas[i] ** 2 + 0.25) / (sigmas[i] * 0.5) ** 2) * error ** 2;
    });
    for (const list of [sigmas, tensor(Float64Array.from(sigmas), { backend })]) {
      const { rng, unused } = given();
      expect(await edmLoss(half, x0, rng, { sigmas: list, noise }).item()).toBeCloseTo(wanted, 12);
      unused();
    }
  });

  test("vdmLoss at given times", async () => {
    const [times, curve] = [[0.25, 0.5], linearGamma({ start: -4, end: 4 })];
    const variance = (i: number) => 1 / (1 + Math.exp(-curve.gamma(times[i])));
    const wanted = mean((k, i) => {
      const x = Math.sqrt(1 - variance(i)) * X[k] + Math.sqrt(variance(i)) * E[k];
      return 0.5 * 8 * (0.5 * x - E[k]) ** 2;
    });
    const { rng, unused } = given();
    expect(await vdmLoss(half, curve, x0, rng, { times, noise }).item()).toBeCloseTo(wanted, 12);
    unused();
  });

  test("score matching at given levels", async () => {
    const [sigmas, levels] = [
      [2, 0.5],
      [1, 0],
    ];
    const score = (x: Tensor) => x.mul(-0.5);
    const error = (k: number, sigma: number) => (-0.5 * (X[k] + sigma * E[k]) * sigma + E[k]) ** 2;
    const { rng, unused } = given();
    const annealed = await annealedScoreMatching(score, x0, sigmas, rng, { levels, noise }).item();
    expect(annealed).toBeCloseTo(0.5 * 2 * mean((k, i) => error(k, sigmas[levels[i]])), 12);
    const denoising = await denoisingScoreMatching(score, x0, 0.7, rng, { noise }).item();
    expect(denoising).toBeCloseTo((0.5 * 2 * mean((k) => error(k, 0.7))) / 0.49, 12);
    unused();
  });
});

test("what does not fit is refused by name", () => {
  const rng = randomStream(0);
  const loss = (options: object) => () => predictionLoss(half, schedule, x0, rng, options);
  expect(loss({ times: [1] })).toThrow("predictionLoss: 1 times for a batch of 2, want one per sample");
  expect(loss({ times: [1, 100] })).toThrow("predictionLoss: times[1] is 100, want an integer in [0, 99]");
  expect(loss({ times: [1, 2], timesteps: () => ({ times: [1, 2] }) })).toThrow(
    "predictionLoss: both times and timesteps are given, want one of them",
  );
  expect(loss({ times: [1, 2], noise: noise.slice(0) })).toThrow("qSample: noise is [2] for x [2,2], want x's shape");
  expect(loss({ noise: [1, 2] })).toThrow("qSample: noise is a list of 2, want a tensor");
  expect(loss({ noise: noise.cast("int32") })).toThrow("want x's type and backend");
  expect(loss({ noise: ones([2, 2], { backend: cpu() }) })).toThrow(
    /^qSample: noise is Tensor\(.*, want x's type and backend$/,
  );
  expect(() => edmLoss(half, x0, rng, { noise: noise.cast("int32") })).toThrow(/^edmLoss: noise is Tensor\(int32/);
  expect(() => edmLoss(half, x0, rng, { sigmas: [1] })).toThrow(
    "edmLoss: 1 sigmas for a batch of 2, want one per sample",
  );
  const curve = linearGamma();
  expect(() => vdmLoss(half, curve, x0, rng, { times: [0.5, 2] })).toThrow(
    "vdmLoss: times has 2, want numbers in [0, 1]",
  );
  const score = (x: Tensor) => x;
  expect(() => annealedScoreMatching(score, x0, [2, 1], rng, { levels: [0, 2] })).toThrow(
    "annealedScoreMatching: levels has 2, want integers in [0, 1]",
  );
});
