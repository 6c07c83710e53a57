// The probability-flow ODE: adaptive sampling, encoding, and likelihoods, against flows and densities in closed form.
import {
  dequantise,
  dequantisedBits,
  discretePath,
  drawProbes,
  encodeFlow,
  exponential,
  type FlowStep,
  finalSample,
  karras,
  linear,
  type Model,
  mixtureOracle,
  type NoisePath,
  odeLikelihood,
  oracleModel,
  probabilityFlow,
  sampleFlow,
  sdePath,
  sigmaOf,
  sigmaPath,
  subVpSde,
  veSde,
  vpSde,
} from "@pkg/diffusion";
import { cpu, liveTensors, randomStream, type Tensor, tensor, tidy, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldTensors } from "../../setup/heldTensors.ts";

const backend = cpu({ precision: "float64" });
const identity: Model = { forward: (x) => x };
/** A path on which a denoiser of x₀ + σ ε answers. */
const answered = (path: NoisePath, denoiser: (y: Tensor, sigma: number) => Tensor): NoisePath => ({
  ...path,
  denoise: (_, x, { signal, noise }) => denoiser(x.mul(1 / signal), noise / signal),
  score: undefined,
});
const [mean, variance] = [0.3, 0.25];

/** E[x₀ | x₀ + σ ε = y] of N(0.3, 1/4). */
const gaussian = (y: Tensor, sigma: number) => {
  const share = variance / (variance + sigma ** 2);
  return y.affine(share, (1 - share) * mean);
};
/** Two modes of weights 0.3 and 0.7 at ±1, of standard deviation 0.4 in every direction. */
const mixture = { weights: [0.3, 0.7], means: [-1, 1], variance: 0.16 };
function mixtureDenoiser(y: Tensor, sigma: number): Tensor {
  const total = mixture.variance + sigma ** 2;
  const odds = y.sum(1, { keepAxes: true }).affine(2 / total, Math.log(0.7 / 0.3));
  const centre = odds.sigmoid().affine(2, -1);
  const share = mixture.variance / total;
  return y.mul(share).add(centre.mul(1 - share));
}
function mixtureLogDensity(point: readonly number[], sigma: number): number {
  const total = mixture.variance + sigma ** 2;
  const terms = mixture.means.map(
    (m, k) =>
      Math.log(mixture.weights[k]) +
      point.reduce((sum, x) => sum - (x - m) ** 2 / (2 * total) - Math.log(2 * Math.PI * total) / 2, 0),
  );
  const largest = Math.max(...terms);
  return largest + Math.log(terms.reduce((sum, term) => sum + Math.exp(term - largest), 0));
}

const paths: [string, NoisePath][] = [
  ["Karras' σ", sigmaPath(karras(18, { min: 0.01 }))],
  ["VP", sdePath(vpSde(), { steps: 10, smallestTime: 1e-4 })],
  ["sub-VP", sdePath(subVpSde(), { steps: 10, smallestTime: 1e-2 })],
  ["VE", sdePath(veSde(), { steps: 10 })],
  ["a schedule", discretePath(linear(1000), { steps: 10 })],
];

/** Where y gets to from one σ to another on N(mean, variance). */
const flowed = (y: number, from: number, to: number) =>
  mean + (y - mean) * Math.sqrt((variance + to ** 2) / (variance + from ** 2));

async function lastOf(run: AsyncIterable<FlowStep>): Promise<FlowStep> {
  let last: FlowStep | undefined;
  for await (const step of run) last = step;
  if (!last) throw new Error("no steps");
  return last;
}

describe.each(paths)("on the path of %s", (_, path) => {
  const { noisiest, cleanest } = probabilityFlow(path, identity);
  const exact = answered(path, gaussian);

  test("adaptive sampling follows the flow to its tolerance", async () => {
    const start = tensor([-1.5, 0.2, 2], { backend }).mul(path.prior);
    const begin = [...(await start.data())];
    for (const tolerance of [1e-4, 1e-7]) {
      const options = { from: start, rtol: tolerance, atol: tolerance };
      const steps: FlowStep[] = [];
      for await (const step of sampleFlow(exact, identity, [3], randomStream(0), options)) steps.push(step);
      const last = steps[steps.length - 1];
      const ends = await last.x.data();
      const sigma = sigmaOf(cleanest);
      for (const [k, x] of begin.entries()) {
        const y = flowed(x / noisiest.signal, sigmaOf(noisiest), sigma);
        const wanted = mean + ((y - mean) * variance) / (variance + sigma ** 2);
        // Each of some tens of steps errs by the tolerance at most, and the flow shrinks errors.
        expect(Math.abs(ends[k] - wanted)).toBeLessThan(30 * tolerance);
      }
      expect(last.level.noise).toBe(0);
      expect(last.evaluations).toBe(1 + 6 * (last.step + last.refused));
    }
  });

  test("encoding is the flow the other way", async () => {
    const data = tensor([-0.4, 0.9], { backend });
    const { x, level } = await lastOf(encodeFlow(exact, identity, data, { rtol: 1e-8, atol: 1e-8 }));
    const found = await x.data();
    for (const [k, y] of [-0.4, 0.9].entries()) {
      const wanted = flowed(y, sigmaOf(cleanest), sigmaOf(noisiest)) * noisiest.signal;
      expect(found[k] / wanted).toBeCloseTo(1, 5);
    }
    expect(level).toBe(noisiest);
  });

  test("the likelihood of Gaussian data is that of the prior under the flow, in closed form", async () => {
    const [clean, noisy] = [cleanest, noisiest].map(sigmaOf);
    // y ~ N(0, (prior / signal)²) at the first level is N(m′, v′) at the last: the flow is affine.
    const scale = Math.sqrt((variance + clean ** 2) / (variance + noisy ** 2));
    const centre = mean - mean * scale;
    const spread = scale * (path.prior / noisiest.signal);
    const data = [-0.4, 0.35, 1.2];
    const found = await odeLikelihood(exact, identity, tensor(data, { backend, shape: [3, 1] }), {
      rtol: 1e-8,
      atol: 1e-8,
    });
    const logs = await found.logLikelihood.data();
    for (const [k, y] of data.entries()) {
      const wanted = -0.5 * ((y - centre) / spread) ** 2 - Math.log(spread * Math.sqrt(2 * Math.PI));
      expect(Math.abs(logs[k] - wanted)).toBeLessThan(1e-5);
    }
    expect([...(await found.standardError.data())]).toEqual([0, 0, 0]);
  });
});

describe("the likelihood of a mixture", () => {
  // The prior misses the data's mean, 0.4 in each direction: in nats 2 · 0.4 · 4 / σ_max at most, within four deviations.
  const sigma = 0.05;
  const path = answered(sigmaPath(exponential(2, { min: sigma, max: 1e6 })), mixtureDenoiser);
  const points = [
    [0.8, 1.3],
    [-1.1, -0.6],
    [0.1, -0.3],
  ];
  const x0 = tensor(points, { backend });
  const wanted = points.map((point) => mixtureLogDensity(point, sigma));

  test("with the exact divergence is the density of the data with σ_min of noise", async () => {
    const { logLikelihood } = await odeLikelihood(path, identity, x0, { rtol: 1e-7, atol: 1e-7 });
    const found = await logLikelihood.data();
    // 3e-6 of the prior's, and some tens of steps' tolerance.
    for (const [k, value] of wanted.entries()) expect(Math.abs(found[k] - value)).toBeLessThan(1e-5);
  });

  test("with Hutchinson's estimate is unbiased, within its own error bars", async () => {
    const probes = drawProbes(x0, randomStream(4), { count: 64 });
    const { logLikelihood, standardError } = await odeLikelihood(path, identity, x0, {
      probes,
      rtol: 1e-5,
      atol: 1e-5,
    });
    const [found, errors] = [await logLikelihood.data(), await standardError.data()];
    for (const [k, value] of wanted.entries()) {
      expect(Math.abs(found[k] - value)).toBeLessThan(4 * errors[k]);
      expect(errors[k]).toBeGreaterThan(1e-3);
      expect(errors[k]).toBeLessThan(1);
    }
    const single = await odeLikelihood(path, identity, x0, { probes: probes.slice(0, 1), rtol: 1e-3, atol: 1e-3 });
    expect([...(await single.standardError.data())]).toEqual([1, 1, 1].map(() => Number.POSITIVE_INFINITY));
  });

  test("sums to one over the plane's middle", async () => {
    // A square of 25 × 25 points at 0.3: beyond ±3.6 lies less than 1e-6 of the density, and the sum of a smooth one is exact.
    const grid = Array.from({ length: 25 ** 2 }, (_, k) =>
      [0, 1].map((axis) => -3.6 + 0.3 * (axis ? k % 25 : Math.floor(k / 25))),
    );
    const { logLikelihood } = await odeLikelihood(path, identity, tensor(grid, { backend }), {
      rtol: 1e-5,
      atol: 1e-5,
    });
    const total = 0.09 * (await logLikelihood.exp().sum().item());
    expect(Math.abs(total - 1)).toBeLessThan(1e-3);
  });
});

test("bits per dimension of 8-bit data are those of their density in levels", async () => {
  const images = tensor([[-1, 0.2, 1]], { backend })
    .affine(127.5, 127.5)
    .round()
    .affine(1 / 127.5, -1);
  const data = dequantise(images, randomStream(3));
  const path = answered(sigmaPath(exponential(2, { min: 1e-3, max: 1e4 })), gaussian);
  const { logLikelihood } = await odeLikelihood(path, identity, data, { rtol: 1e-7, atol: 1e-7 });
  const bits = dequantisedBits(-(await logLikelihood.item()), 3);
  // The density of the levels' middles, a level being 1/128 wide: exact but for the place of the draw within its level.
  const levels = [0, 153, 255].map((k) => (k + 0.5) / 128 - 1);
  const wanted = levels.reduce((sum, y) => sum + (y - mean) ** 2 / (2 * variance), 0) / 3;
  const expected = (wanted + Math.log(Math.sqrt(2 * Math.PI * variance))) / Math.LN2 + 7;
  // Half a level times the slope of log p, 1.3 / 0.25 at most, in bits.
  expect(Math.abs(bits - expected)).toBeLessThan(((0.5 / 128) * (1.3 / 0.25)) / Math.LN2);
});

test("data encoded and drawn again are the data, but for the last denoising", async () => {
  const path = answered(sdePath(vpSde(), { smallestTime: 1e-5 }), mixtureDenoiser);
  const data = [
    [0.7, 1.1],
    [-0.9, -1.3],
  ];
  const options = { rtol: 1e-7, atol: 1e-7 };
  const { x } = await lastOf(encodeFlow(path, identity, tensor(data, { backend }), options));
  const again = await finalSample(sampleFlow(path, identity, [2, 2], randomStream(0), { ...options, from: x }));
  // σ² at t = 1e-5 is 1e-6, times a score of a few.
  for (const [k, value] of (await again.data()).entries()) expect(Math.abs(value - data.flat()[k])).toBeLessThan(3e-5);
});

test("a smaller tolerance costs more calls and the fixed path's levels none", async () => {
  const counts: number[] = [];
  for (const tolerance of [1e-2, 1e-4, 1e-6]) {
    const path = answered(sigmaPath(karras(18)), mixtureDenoiser);
    const run = sampleFlow(path, identity, [5, 2], randomStream(1), { backend, rtol: tolerance, atol: tolerance });
    counts.push((await lastOf(run)).evaluations);
  }
  expect(counts[0]).toBeLessThan(counts[1]);
  expect(counts[1]).toBeLessThan(counts[2]);
});

test("a run frees what it made", async () => {
  const path = answered(sigmaPath(karras(18)), mixtureDenoiser);
  const before = heldTensors();
  const x = await finalSample(sampleFlow(path, identity, [4, 2], randomStream(1), { backend }));
  x.dispose();
  const x0 = tensor([[0.1, 0.2]], { backend });
  const found = await odeLikelihood(path, identity, x0, { rtol: 1e-2, atol: 1e-2 });
  for (const made of [x0, found.latent, found.logLikelihood, found.standardError]) made.dispose();
  expect(liveTensors()).toBe(before);
});

test.skipIf(!gpuAvailable)("the GPU finds the same samples and likelihoods", async () => {
  const gpu = await webgpu();
  const path = answered(sigmaPath(exponential(2, { min: 0.05, max: 20 })), mixtureDenoiser);
  const [wanted, found] = await Promise.all(
    [backend, gpu].map(async (on) => {
      const options = { backend: on, rtol: 1e-4, atol: 1e-4 };
      const x = await finalSample(sampleFlow(path, identity, [8, 2], randomStream(2), options));
      const probes = drawProbes(x, randomStream(3));
      const exact = await odeLikelihood(path, identity, x, options);
      const probed = await odeLikelihood(path, identity, x, { probes, ...options });
      expect([...(await probed.standardError.data())]).toEqual(new Array(8).fill(Number.POSITIVE_INFINITY));
      return (await Promise.all([x, exact.logLikelihood, probed.logLikelihood].map((y) => y.data()))).flatMap(
        (values) => [...values],
      );
    }),
  );
  // Both are within some tens of tolerances of the flow.
  for (const [k, value] of wanted.entries()) expect(Math.abs(value - found[k])).toBeLessThan(5e-3);
});

test("bad options and models are refused", async () => {
  const path = sigmaPath([10, 0.1]);
  const run = (options: object, model: Model = identity, shape = [2]) =>
    finalSample(sampleFlow(path, model, shape, randomStream(0), { backend, ...options }));
  await expect(run({ rtol: 0 })).rejects.toThrow("ode: rtol is 0, want a positive number");
  await expect(run({ atol: -1 })).rejects.toThrow("ode: atol is -1, want a positive number");
  await expect(run({ maxSteps: 0 })).rejects.toThrow("ode: maxSteps is 0, want a positive integer");
  const wild: Model = { forward: (x, [t]: readonly number[]) => x.mul(Math.sin(1000 * t)) };
  await expect(run({ maxSteps: 5, rtol: 1e-9, atol: 1e-9 }, wild)).rejects.toThrow(
    /ode: 5 steps from log σ = 2\.30.* got to/,
  );
  const broken: Model = { forward: (x, [t]: readonly number[]) => (t < 5 ? x.mul(0).div(0) : x) };
  await expect(run({}, broken)).rejects.toThrow(
    /made of the model's output, is NaN or infinite for 2 samples, want finite values/,
  );
  await expect(run({ from: tensor([1], { backend }) })).rejects.toThrow("sampleFlow: from has shape [1], want [2]");
  expect(() => probabilityFlow(sigmaPath([1]), identity)).toThrow("1 levels with noise, want at least two");
  const x0 = tidy(() => tensor([[1, 2]], { backend }));
  await expect(odeLikelihood(path, identity, x0, { probes: [] })).rejects.toThrow("no probes");
});

test("with the exact denoiser of README's eight places the log p of 100 points is the density's to 0.01", async () => {
  const angles = Array.from({ length: 8 }, (_, k) => (k * Math.PI) / 4);
  const means = angles.map((angle) => [Math.cos(angle), Math.sin(angle)]);
  const oracle = mixtureOracle({ means, variances: means.map(() => 0.1 ** 2) });
  const path = sigmaPath(karras(18, { min: 0.02, max: 20 }));
  const x = oracle.sample(100, randomStream(0), { backend });
  const { logLikelihood } = await odeLikelihood(path, oracleModel(oracle, path.at, "data"), x);
  const wanted = await oracle.logDensity(x).mean().item();
  expect(Math.abs((await logLikelihood.mean().item()) - wanted)).toBeLessThan(0.01);
  // −log(2π · 0.1²) − 1 − log 8 = −0.31 in the mean over all points; of 100 it deviates by 0.1.
  expect(Math.abs(wanted + Math.log(2 * Math.PI * 0.01) + 1 + Math.log(8))).toBeLessThan(0.4);
});
