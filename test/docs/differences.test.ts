// The numbers of docs/compatibility.md that no other test shows: what other code does, written out, beside what ours does.
import {
  ancestral,
  convertPrediction,
  cosine,
  ddimInversion,
  discretePath,
  discretisedDecoder,
  dpmSolverPlusPlus,
  euler,
  finalSample,
  klNormal,
  linear,
  lms,
  type Model,
  noiseVarianceAt,
  pndm,
  posterior,
  posteriorLogVariance,
  posteriorMeanFromNoise,
  type Sampler,
  type Schedule,
  sample,
  sigmaPath,
  spacedTimes,
} from "@pkg/diffusion";
import { cpu, randomStream, type Tensor, tensor, torchStream } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

/** The fixture of diffusers' scheduler tests, with its sum of magnitudes. */
async function fixtureSum(sampler: Sampler): Promise<number> {
  const model: Model = { forward: (x, [t]: readonly number[]) => x.mul(t / (t + 1)) };
  const start = Float64Array.from({ length: 768 }, (_, i) => ((i % 192) * 4 + Math.floor(i / 192)) / 768);
  const x = tensor(start, { backend: exact, shape: [4, 3, 8, 8] });
  const run = sample(sampler, model, x.shape, torchStream(0), { from: { x } });
  return (await finalSample(run)).abs().sum().item();
}

describe("on diffusers' fixture", () => {
  test.each<[string, Schedule, number]>([
    ["cosine in float64", cosine(1000), 252.439],
    ["linear in float64", schedule, 258.9591],
    ["linear in float32", linear(1000, { precision: "float32" }), 258.9057],
  ])("ancestral sampling sums to: %s", async (_, tables, sum) => {
    expect(await fixtureSum(ancestral(discretePath(tables, { clip: true })))).toBeCloseTo(sum, 4);
  });

  test("velocity is converted where the model was asked: PNDM 86.5913, DDIM inversion 1231.4687", async () => {
    const path = (end?: "first step") => discretePath(schedule, { steps: 10, prediction: "velocity", end });
    expect(await fixtureSum(pndm(path("first step")))).toBeCloseTo(86.5913, 3);
    expect(await fixtureSum(ddimInversion(path()))).toBeCloseTo(1231.4687, 3);
  });

  test("lower orders at the end of DPM-Solver++ make 187.553 of 253.553", async () => {
    const times = Array.from({ length: 10 }, (_, k) => Math.round(((10 - k) * 999) / 10));
    const path = discretePath(schedule, { times, end: "first step" });
    expect(await fixtureSum(dpmSolverPlusPlus(path))).toBeCloseTo(187.553, 3);
    expect(await fixtureSum(dpmSolverPlusPlus(path, { lowerOrderFinal: false }))).toBeCloseTo(253.553, 3);
  });
});

test("a list of arange has one step too many for 62 numbers of steps", () => {
  // numpy's arange(1000, 0, −1000 / n) has ceil(−1000 / (−1000 / n)) numbers.
  const counts = Array.from({ length: 1000 }, (_, k) => k + 1).filter((n) => Math.ceil(-1000 / (-1000 / n)) > n);
  expect([counts.length, ...counts.slice(0, 3)]).toEqual([62, 61, 103, 121]);
  expect(counts.filter((n) => spacedTimes(1000, n, "trailing").length !== n)).toEqual([]);
});

test("clipping x̂₀ moves the mean by 0.028 at step 999 and by 0.053 at step 10, where x and ε̂ are independent", async () => {
  const [x, noise] = [1, 2].map((seed) => randomStream(seed).normal([100_000, 1], { backend: exact }));
  for (const [t, wanted] of [
    [999, 0.028],
    [10, 0.053],
  ]) {
    const times = new Array<number>(100_000).fill(t);
    const data = convertPrediction(schedule, noise, { from: "noise", to: "data", x, times }).clamp(-1, 1);
    const { fromData, fromNoisy } = posterior(schedule, t);
    const clipped = data.mul(fromData).add(x.mul(fromNoisy));
    const difference = posteriorMeanFromNoise(schedule, x, noise, t).sub(clipped);
    expect(Math.sqrt(await difference.square().mean().item())).toBeCloseTo(wanted, 3);
  }
});

test("with the clamp of log β̃ a pixel off by one level costs 39.9 bits, with β̃_2 2.05, and a right one 0 and 1.31", async () => {
  const bits = async (logVariance: number, mean: number) => {
    const column = (value: number) => tensor([[value]], { backend: exact });
    const given = { mean: column(mean), logVariance: column(logVariance) };
    return (
      -(await discretisedDecoder()
        .logLikelihood(column(1 / 255), given)
        .sum()
        .item()) / Math.LN2
    );
  };
  const [clamped, second] = [{ first: "clamp" } as const, {}].map((options) =>
    posteriorLogVariance(schedule, 0, -1, options),
  );
  expect(await bits(clamped, 3 / 255)).toBeCloseTo(39.9, 1);
  expect(await bits(second, 3 / 255)).toBeCloseTo(2.05, 2);
  expect(await bits(clamped, 1 / 255)).toBeCloseTo(0, 2);
  expect(await bits(second, 1 / 255)).toBeCloseTo(1.31, 2);
});

test("the divergence of variances that differ by 1e-4 is 2.5e-9 in float32, where the textbook's sum gives 0", async () => {
  const backend = cpu();
  const normal = (log: number) => ({ mean: tensor([0], { backend }), logVariance: tensor([log], { backend }) });
  const d = Math.fround(1e-4);
  const wanted = (Math.expm1(d) - d) / 2;
  expect((await klNormal(normal(d), normal(0)).item()) / wanted).toBeCloseTo(1, 2);
  const round = Math.fround;
  const textbook = 0.5 * round(round(-1 - d) + round(Math.exp(d)));
  expect(wanted).toBeCloseTo(2.5e-9, 10);
  expect(textbook).toBe(0);
});

/**
 * The errors of DPM-Solver++(3M) in 160 and 320 steps even in λ from σ = 4 to 0.15 on N(0.7, 1/4) from an exact start,
 * where the second difference of x̂₀ has φ₃ times `share` for its weight. In numbers, x / signal in the place of x.
 */
function threeStepErrors(share: number): number[] {
  const follow = (sigma: number) => 0.7 + (2.3 * Math.hypot(0.5, sigma)) / Math.hypot(0.5, 4);
  const denoised = (x: number, sigma: number) => 0.7 + ((x - 0.7) * 0.25) / (0.25 + sigma ** 2);
  return [160, 320].map((steps) => {
    const h = Math.log(4 / 0.15) / steps;
    const sigmas = Array.from({ length: steps + 1 }, (_, k) => 4 * Math.exp(-h * k));
    const estimates = [1, 0].map((k) => denoised(follow(sigmas[k]), sigmas[k]));
    let x = follow(sigmas[2]);
    for (let k = 2; k < steps; k++) {
      const [d0, d1, d2] = [denoised(x, sigmas[k]), ...estimates];
      const [first, second] = [d0 - d1, d1 - d2];
      // With u = λ − λ_k the parabola is d0 + (first + (first − second) / 2) u / h + (first − second) u² / 2h².
      const phi1 = -Math.expm1(-h);
      const phi2 = 1 - phi1 / h;
      const phi3 = 0.5 - phi2 / h;
      const slope = first + (first - second) / 2;
      x = x * Math.exp(-h) + phi1 * d0 + phi2 * slope + 2 * share * phi3 * ((first - second) / 2);
      estimates.splice(0, 2, d0, d1);
    }
    return Math.abs(x - follow(0.15));
  });
}

test("DPM-Solver++(3M) is of order 3 with the parabola's own weight, and of order 2 with half of it", () => {
  for (const [share, order, [coarse, fine]] of [
    [1, 3.04, [1.5e-7, 1.8e-8]],
    [0.5, 2.04, [2.0e-6, 4.8e-7]],
  ] as const) {
    const errors = threeStepErrors(share);
    expect(Math.log2(errors[0] / errors[1])).toBeCloseTo(order, 1);
    expect(errors[0] / coarse).toBeCloseTo(1, 1);
    expect(errors[1] / fine).toBeCloseTo(1, 1);
  }
});

test("a run of LMS that begins in the middle begins with Euler's step", async () => {
  const path = sigmaPath([8, 4, 2, 1, 0.5], { prediction: "noise" });
  const step = (sampler: Sampler) =>
    sampler
      .step({
        x: tensor([1.5], { backend: exact }),
        index: 2,
        memory: [],
        predict: (x: Tensor) => x.mul(0.3),
        rng: randomStream(0),
      })
      .x.item();
  expect(await step(lms(path))).toBeCloseTo(await step(euler(path)), 12);
});

test("float32's 1 − ᾱ_1 is 1.000166e-4, ours 1e-4", () => {
  expect(noiseVarianceAt(linear(1000, { precision: "float32" }), 0)).toBeCloseTo(1.000166e-4, 10);
  expect(noiseVarianceAt(schedule, 0)).toBeCloseTo(1e-4, 16);
});
