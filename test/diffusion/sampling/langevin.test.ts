// Sampling by the score alone: stationary variances in closed form, exactness of Metropolis' correction, and modes.
import {
  acceptance,
  annealedLangevin,
  type CorrectorOptions,
  euler,
  finalSample,
  gaussianOracle,
  gradientAscent,
  karras,
  langevin,
  type Model,
  metropolis,
  type NoisePath,
  predictorCorrector,
  reverseDiffusion,
  type Sampler,
  type SampleStep,
  sample,
  sigmaPath,
  verifySampler,
} from "@pkg/diffusion";
import { type Backend, cpu, keep, randomStream, type Tensor, tensor, wasm, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";

const backend = cpu({ precision: "float64" });
/** For many draws. */
const fast = await wasm();

/** The score of N(0, variance). */
const gaussianScore = (variance: number): Model => ({ forward: (x) => x.mul(-1 / variance) });

/** Two normal modes at ±3 with standard deviation 0.5, the right one of weight 0.8. */
const modes = { weight: 0.8, at: 3, variance: 0.25 };

/** log of the mixture's density with noise σ, and its score and denoiser, from the log odds of the right mode. */
function logOdds(x: Tensor, sigma: number): Tensor {
  const variance = modes.variance + sigma ** 2;
  return x.affine((2 * modes.at) / variance, Math.log(modes.weight / (1 - modes.weight)));
}
function mixtureScore(x: Tensor, sigma: number): Tensor {
  const right = logOdds(x, sigma).sigmoid();
  return right
    .affine(2 * modes.at, -modes.at)
    .sub(x)
    .mul(1 / (modes.variance + sigma ** 2));
}
function mixtureDenoiser(y: Tensor, sigma: number): Tensor {
  return y.add(mixtureScore(y, sigma).mul(sigma ** 2));
}
function mixtureLogDensity(x: Tensor): Tensor {
  const left = x
    .add(modes.at)
    .square()
    .mul(-0.5 / modes.variance);
  return left.add(logOdds(x, 0).softplus()).reshape([x.shape[0]]);
}
/** A path on which a denoiser of x₀ + σ ε answers. */
const answered = (path: NoisePath, denoiser: (y: Tensor, sigma: number) => Tensor): NoisePath => ({
  ...path,
  denoise: (_, x, { signal, noise }) => denoiser(x.mul(1 / signal), noise / signal),
  score: undefined,
});
const identity: Model = { forward: (x) => x };

async function valuesOf(sampler: Sampler, model: Model, draws: number, seed: number, from?: Tensor): Promise<number[]> {
  const options = { backend: from?.backend ?? fast, from: from && { x: from } };
  return [...(await (await finalSample(sample(sampler, model, [draws], randomStream(seed), options))).data())];
}

test.each([
  [0.1, 1, 1.0526315789],
  [0.5, 1, 1.3333333333],
  [0.02, 0.25, 0.2604166667],
])("Langevin's stationary variance for τ = %d on N(0, %d) is %d", async (stepSize, variance, wanted) => {
  expect((2 * stepSize) / (1 - (1 - stepSize / variance) ** 2)).toBeCloseTo(wanted, 9);
  const data = gaussianOracle({ variance, shape: [1] });
  const { runs } = await verifySampler((steps) => langevin({ steps, stepSize }), data, {
    model: gaussianScore(variance),
    steps: [300],
  });
  expect(runs[0].variance).toBeCloseTo(wanted, 8);
});

test("a Langevin step too large for the score diverges as 1 − τ/s² says", async () => {
  const data = gaussianOracle({ variance: 1, shape: [1] });
  const { runs } = await verifySampler((steps) => langevin({ steps, stepSize: 2.5 }), data, {
    model: gaussianScore(1),
    steps: [10],
  });
  let variance = 1;
  for (let k = 0; k < 10; k++) variance = 1.5 ** 2 * variance + 5;
  expect(runs[0].variance / variance).toBeCloseTo(1, 12);
});

test("gradient ascent shrinks the distance to the mode by 1 − τ/s² a step, without noise", async () => {
  const start = tensor([2, -1], { backend });
  const ends = await valuesOf(gradientAscent({ steps: 7, stepSize: 0.1 }), gaussianScore(0.5), 2, 0, start);
  for (const [k, x] of [2, -1].entries()) expect(ends[k]).toBeCloseTo(x * 0.8 ** 7, 12);
});

test("a prediction of noise is read as a score, and the estimate of the data with it", async () => {
  const level = { t: 3, signal: 0.6, noise: 0.8 };
  const noise: Model = { forward: (x, [t]: readonly number[]) => x.mul(t / 10) };
  const sampler = gradientAscent({ steps: 1, stepSize: 0.1, level, prediction: "noise" });
  const from = { x: tensor([2], { backend }) };
  for await (const { x, denoised } of sample(sampler, noise, [1], randomStream(0), { from })) {
    expect(await x.item()).toBeCloseTo(2 - (0.1 * 0.6) / 0.8, 12);
    expect(await denoised.item()).toBeCloseTo((2 - 0.8 * 0.6) / 0.6, 12);
  }
});

describe("Metropolis' correction", () => {
  /** After many steps from elsewhere. */
  async function run(
    sampler: Sampler,
    model: Model,
    draws: number,
  ): Promise<{ values: number[]; rate: number; last: SampleStep }> {
    let last: SampleStep | undefined;
    for await (const state of sample(sampler, model, [draws], randomStream(3), { backend: fast })) last = state;
    if (!last) throw new Error("no steps");
    return { values: [...(await last.x.data())], rate: await acceptance(last).mean().item(), last };
  }

  test("makes the stationary variance exact where Langevin's own is 4/3 of it", async () => {
    const draws = 40_000;
    const sampler = metropolis({ steps: 60, stepSize: 0.5, logDensity: (x) => x.square().mul(-0.5) });
    const { values, rate } = await run(sampler, gaussianScore(1), draws);
    const variance = values.reduce((sum, x) => sum + x ** 2, 0) / draws;
    // The standard error of a variance of 1 is √(2 / draws) = 0.007; Langevin's own bias would be 47 of them.
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / draws));
    // E min(1, e^Δ) of this proposal, by quadrature below.
    expect(Math.abs(rate - (await acceptanceOnGaussian(0.5)))).toBeLessThan(4 * Math.sqrt(0.25 / draws));
  });

  test("keeps p even with a score that is wrong", async () => {
    const draws = 20_000;
    const sampler = metropolis({ steps: 80, stepSize: 0.4, logDensity: (x) => x.square().mul(-0.5) });
    const { values } = await run(sampler, { forward: (x) => x.mul(-0.3).add(0.5) }, draws);
    const mean = values.reduce((sum, x) => sum + x, 0) / draws;
    const variance = values.reduce((sum, x) => sum + x ** 2, 0) / draws;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(draws));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / draws));
  });

  test("leaves a mixture as it is", async () => {
    const draws = 20_000;
    const rng = randomStream(11);
    const sides = rng.host.uniform([draws]);
    const noise = rng.host.normal([draws]);
    const start = Float64Array.from(noise, (z, k) => (sides[k] < 0.8 ? 3 : -3) + 0.5 * z);
    const sampler = metropolis({ steps: 25, stepSize: 0.15, logDensity: mixtureLogDensity });
    const from = tensor(start, { backend: fast });
    const ends = await valuesOf(sampler, { forward: (x) => mixtureScore(x, 0) }, draws, 5, from);
    const mean = ends.reduce((sum, x) => sum + x, 0) / draws;
    const second = ends.reduce((sum, x) => sum + x ** 2, 0) / draws;
    // mean 1.8 with variance 0.25 + 9 (1 − 0.36) = 6.01; x² has mean 9.25 and variance 2 · 0.25² + 4 · 9 · 0.25 = 9.125
    expect(Math.abs(mean - 1.8)).toBeLessThan(4 * Math.sqrt(6.01 / draws));
    expect(Math.abs(second - 9.25)).toBeLessThan(4 * Math.sqrt(9.125 / draws));
  });

  test("decides for each sample of any shape, and goes on from a state with the same bits", async () => {
    const logDensity = (x: Tensor) => x.square().sum([1, 2]).mul(-0.5);
    const sampler = metropolis({ steps: 6, stepSize: 0.8, logDensity });
    const rng = randomStream(2);
    const states: SampleStep[] = [];
    for await (const state of sample(sampler, gaussianScore(1), [3, 2, 2], rng, { backend })) {
      for (const held of [state.x, ...state.memory]) keep(held);
      states.push({ ...state, x: state.x.detach(), memory: state.memory.map((held) => held.detach()) });
    }
    const again = randomStream(2);
    for (let k = 0; k < 7; k++) again.normal([1], { backend }).dispose(); // the start, and two draws a step
    const rest = sample(sampler, gaussianScore(1), [3, 2, 2], again, { from: states[2] });
    expect(await (await finalSample(rest)).data()).toEqual(await states[5].x.data());
    expect((await acceptance(states[5]).data()).every((rate) => rate >= 0 && rate <= 1)).toBe(true);
  });

  test("does not go where the density is not a number", async () => {
    const sampler = metropolis({ steps: 20, stepSize: 0.5, logDensity: (x) => x.log().mul(2).sub(x) });
    const from = tensor([1, 2, 3], { backend });
    const ends = await valuesOf(sampler, { forward: (x) => x.mul(0).add(2).div(x).sub(1) }, 3, 0, from);
    expect(ends.every((x) => x > 0)).toBe(true);
  });
});

/** E min(1, p(y) q(x|y) / p(x) q(y|x)) on N(0, 1): for this proposal the log ratio is τ (x² − y²) / 4. */
async function acceptanceOnGaussian(stepSize: number): Promise<number> {
  const [points, span] = [400, 7];
  const density = (z: number) => Math.exp(-(z ** 2) / 2) / Math.sqrt(2 * Math.PI);
  const width = (2 * span) / points;
  let sum = 0;
  for (let i = 0; i <= points; i++) {
    for (let j = 0; j <= points; j++) {
      const [x, z] = [i, j].map((k) => -span + k * width);
      const y = (1 - stepSize) * x + Math.sqrt(2 * stepSize) * z;
      sum += density(x) * density(z) * width ** 2 * Math.min(1, Math.exp((stepSize * (x ** 2 - y ** 2)) / 4));
    }
  }
  return sum;
}

describe("annealed Langevin dynamics", () => {
  const sigmas = Array.from({ length: 20 }, (_, k) => 10 * 1e-3 ** (k / 19));
  const path = answered(sigmaPath(sigmas), mixtureDenoiser);

  test("finds the weights of separate modes, which plain Langevin dynamics leave as they were", async () => {
    const draws = 4000;
    const right = (values: number[]) => values.filter((x) => x > 0).length / draws;
    const standardError = Math.sqrt((0.8 * 0.2) / draws); // 0.0063
    const annealed = async (stepsPerLevel: number) =>
      right(
        await valuesOf(annealedLangevin(path, { stepSize: 0.1 * sigmas[19] ** 2, stepsPerLevel }), identity, draws, 2),
      );
    // Slower annealing keeps up with the weights until the modes part: 0.726, 0.784.
    expect(Math.abs((await annealed(120)) - 0.8)).toBeLessThan(4 * standardError);
    expect(0.8 - (await annealed(10))).toBeGreaterThan(8 * standardError);
    const plain = langevin({ steps: 1200, stepSize: 0.02, prior: 10 });
    const stuck = right(await valuesOf(plain, { forward: (x) => mixtureScore(x, 0) }, draws, 1));
    // From N(0, 100) as many start on the left, and stay: 0.511.
    expect(Math.abs(stuck - 0.8)).toBeGreaterThan(20 * standardError);
  });

  test("has at each level the step ε σ² / σ_L², and ends at x + σ_L² s", async () => {
    const levels = [4, 2];
    const variance = 1;
    const gaussian = answered(sigmaPath(levels), (y, sigma) => y.mul(variance / (variance + sigma ** 2)));
    for (const denoise of [true, false]) {
      const { runs } = await verifySampler(
        () => annealedLangevin(gaussian, { stepSize: 0.3, stepsPerLevel: 3, denoise }),
        gaussianOracle({ variance, shape: [1] }),
        { steps: [1] },
      );
      let wanted = 16;
      for (const sigma of levels) {
        const step = (0.3 * sigma ** 2) / 4;
        for (let k = 0; k < 3; k++) wanted = (1 - step / (variance + sigma ** 2)) ** 2 * wanted + 2 * step;
      }
      expect(runs[0].variance).toBeCloseTo(denoise ? wanted / 25 : wanted, 12);
    }
  });

  test("its levels say where each step stands", () => {
    const sampler = annealedLangevin(sigmaPath([4, 2]), { stepSize: 0.1, stepsPerLevel: 2 });
    expect(sampler.levels.map(({ noise }) => noise)).toEqual([4, 4, 2, 2, 2, 0]);
    expect(sampler.prior).toBe(4);
  });
});

const gpuTest = test.skipIf(!gpuAvailable);
gpuTest("on the GPU every sampler draws the same noise", async () => {
  const gpu = await webgpu();
  const path = answered(sigmaPath(karras(4, { min: 0.1, max: 4 })), mixtureDenoiser);
  const samplers: [string, Sampler, Model][] = [
    ["langevin", langevin({ steps: 4, stepSize: 0.05 }), gaussianScore(1)],
    ["metropolis", metropolis({ steps: 4, stepSize: 0.3, logDensity: (x) => x.square().mul(-0.5) }), gaussianScore(1)],
    ["annealed", annealedLangevin(path, { stepSize: 0.001, stepsPerLevel: 2 }), identity],
    ["corrected", predictorCorrector(reverseDiffusion(path), path), identity],
  ];
  const host = cpu();
  for (const [name, sampler, model] of samplers) {
    const [wanted, found] = await Promise.all(
      [host, gpu].map(async (on: Backend) =>
        (await finalSample(sample(sampler, model, [64], randomStream(9), { backend: on }))).data(),
      ),
    );
    // Dozens of float32 roundings, grown by steps that stretch at most a few times.
    for (const [k, x] of wanted.entries()) expect(Math.abs(x - found[k]), name).toBeLessThan(1e-4);
  }
});

test("bad options are refused", async () => {
  const path = sigmaPath([2, 1]);
  expect(() => langevin({ steps: 10, stepSize: 0 })).toThrow("langevin: stepSize is 0, want a positive number");
  expect(() => gradientAscent({ steps: 0, stepSize: 1 })).toThrow("gradientAscent: 0 steps, want a positive integer");
  expect(() => langevin({ steps: 1, stepSize: 1, prediction: "noise" })).toThrow("noise at a level without noise");
  expect(() => annealedLangevin(path, { stepSize: -1 })).toThrow("stepSize is -1, want a positive number");
  expect(() => annealedLangevin(path, { stepSize: 1, stepsPerLevel: 0 })).toThrow(
    "annealedLangevin: stepsPerLevel is 0, want a positive integer",
  );
  expect(() => metropolis({ steps: 1, stepSize: Number.NaN, logDensity: (x) => x })).toThrow("stepSize is NaN");
  expect(() => acceptance({ memory: [], step: 0 })).toThrow("want one of metropolis after a step");
  const wide = metropolis({ steps: 1, stepSize: 1, logDensity: (x) => x });
  await expect(finalSample(sample(wide, gaussianScore(1), [2, 2], randomStream(0), { backend }))).rejects.toThrow(
    "log densities of shape [2,2], want [2], one per sample",
  );
  const options: CorrectorOptions = { snr: Number.POSITIVE_INFINITY };
  expect(() => predictorCorrector(euler(path), path, options)).toThrow("snr is Infinity, want a positive number");
});
