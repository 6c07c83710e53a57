// What verifySampler measures, where the answers are known.
import {
  ddim,
  discretePath,
  euler,
  eulerAncestral,
  exponential,
  gaussianOracle,
  heun,
  karras,
  langevin,
  linear,
  type Model,
  metropolis,
  mixtureOracle,
  oracleModel,
  oraclePath,
  predictorCorrector,
  reverseDiffusion,
  rungeKutta,
  type Sampler,
  sigmaPath,
  verifySampler,
} from "@pkg/diffusion";
import { cpu } from "@pkg/tensor";
import { expect, test } from "vitest";

const gaussian = gaussianOracle({ mean: [0], variance: 0.25 });
const mixture = mixtureOracle({ weights: [0.3, 0.7], means: [[-1], [1]], variances: 0.16 });

test("variances on Gaussian data are the published ones", async () => {
  const schedule = linear(1000);
  const measure = async (sampler: Sampler, model?: Model) =>
    (await verifySampler(sampler, gaussian, { model })).runs[0].variance;
  const path = oraclePath(sigmaPath(karras(18)), gaussian);
  const model = oracleModel(gaussian, schedule);
  expect(await measure(ddim(discretePath(schedule, { steps: 10 })), model)).toBeCloseTo(0.1399721299, 8);
  expect(await measure(euler(path))).toBeCloseTo(0.1789555962, 9);
  expect(await measure(heun(path))).toBeCloseTo(0.2783877576, 9);
});

test("the order is fitted to differences, so that a bias that stays is no part of it", async () => {
  // From N(0, 1) at σ = 1, where the data and noise have 1.25: a bias that no number of steps takes away.
  const path = (steps: number) => oraclePath(sigmaPath(exponential(steps + 1, { min: 0.1, max: 1 })), gaussian);
  const { order, runs } = await verifySampler((steps) => heun(path(steps)), gaussian);
  expect(Math.abs((order ?? 0) - 2)).toBeLessThan(0.1);
  const limit = Math.sqrt((0.25 / 0.26) * (0.25 / 1.25)); // the flow from 1 to the last level, and x̂₀ from there
  expect(runs[3].error).toBeCloseTo(0.5 - limit, 4);
});

test("a mean is part of the error", async () => {
  const shifted = gaussianOracle({ mean: [2], variance: 0.25 });
  const path = oraclePath(sigmaPath([1, 0.5]), shifted);
  const { runs } = await verifySampler(euler(path), shifted);
  let [mean, deviation] = [0, 1];
  for (const [sigma, next] of [
    [1, 0.5],
    [0.5, 0],
  ]) {
    const share = 0.25 / (0.25 + sigma ** 2);
    const keep = next / sigma + (1 - next / sigma) * share;
    mean = keep * mean + (1 - next / sigma) * (1 - share) * 2;
    deviation *= keep;
  }
  expect(runs[0].mean).toBeCloseTo(mean, 12);
  expect(runs[0].variance).toBeCloseTo(deviation ** 2, 12);
  expect(runs[0].error).toBeCloseTo(Math.hypot(mean - 2, deviation - 0.5), 12);
});

test("on a mixture the orders of the ODE's solvers come from samples of one start", async () => {
  const path = (steps: number) => oraclePath(sigmaPath(exponential(steps + 1, { min: 0.05, max: 20 })), mixture);
  for (const [solver, wanted] of [
    [euler, 1],
    [heun, 2],
    [rungeKutta, 4],
  ] as const) {
    const { order, runs } = await verifySampler((steps) => solver(path(steps)), mixture, {
      draws: 400,
      steps: [50, 100, 200],
    });
    expect(Math.abs((order ?? 0) - wanted)).toBeLessThan(0.35);
    expect(runs[0].standardErrors?.mean).toBeGreaterThan(0);
  }
});

test("moments that were drawn are the mixture's, within their standard errors", async () => {
  const path = oraclePath(sigmaPath(exponential(60, { min: 0.02, max: 30 })), mixture);
  const { runs, order } = await verifySampler(eulerAncestral(path), mixture, {
    draws: 10_000,
    backend: cpu(),
  });
  const [{ mean, variance, standardErrors }] = runs;
  const [wantedMean, wantedVariance] = [mixture.mean[0], mixture.covariance()[0][0]];
  expect(Math.abs(mean - wantedMean)).toBeLessThan(4 * (standardErrors?.mean ?? 0));
  // Sixty steps of order 1 leave a bias of the variance of two hundredths.
  expect(Math.abs(variance - wantedVariance)).toBeLessThan(4 * (standardErrors?.variance ?? 0) + 0.02);
  expect(standardErrors?.mean).toBeCloseTo(Math.sqrt(variance / 10_000), 12);
  expect(order).toBeUndefined();
});

test("samplers that are not affine are refused without draws", async () => {
  const path = oraclePath(sigmaPath(karras(5)), mixture);
  const refused = (sampler: Parameters<typeof verifySampler>[0]) =>
    expect(verifySampler(sampler, mixture, { steps: [5] })).rejects;
  await refused(() => euler(path)).toThrow(/is not affine: want draws/);
  await refused(() => predictorCorrector(reverseDiffusion(path), path)).toThrow(/is not affine: want draws/);
  const density = mixture.logDensity;
  await refused((steps) => metropolis({ steps, stepSize: 0.1, logDensity: (x) => density(x) })).toThrow(
    "the sampler draws [1,2] for x [1,1], is not affine: want draws",
  );
});

test("bad options are refused", async () => {
  const sampler = (steps: number) => langevin({ steps, stepSize: 0.1 });
  const run = (options: object, oracle = gaussian) => expect(verifySampler(sampler, oracle, options)).rejects;
  await run({ steps: [] }).toThrow("verifySampler: steps are , want rising positive integers");
  await run({ steps: [2, 2] }).toThrow("verifySampler: steps are 2, 2, want rising");
  await run({ draws: 1 }).toThrow("verifySampler: 1 draws, want an integer of two or more");
  await run({}, gaussianOracle({ mean: [1, 2], variance: 1 })).toThrow("an oracle of 2 dimensions, want one");
});
