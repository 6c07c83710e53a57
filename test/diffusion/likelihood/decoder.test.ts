// The decoder of the bound's last term: probabilities of bins in both tails, with both distribution functions, on every backend.
import { dequantise, dequantisedBits, discretisedDecoder, gaussianDecoder, klNormal } from "@pkg/diffusion";
import { type Backend, cpu, grad, randomStream, type Tensor, tensor, wasm, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";

const exact = cpu({ precision: "float64" });
const GRID = Float64Array.from({ length: 256 }, (_, k) => (2 * k) / 255 - 1);

/** log p of data under a normal distribution, all of one size. */
async function logOf(
  decoder: ReturnType<typeof discretisedDecoder>,
  backend: Backend,
  x: ArrayLike<number>,
  mean: number,
  sigma: number,
): Promise<number[]> {
  const [given, means, logs] = [Float64Array.from(x), Float64Array.from(x).fill(mean), Float64Array.from(x)].map(
    (values) => tensor(values, { backend }),
  );
  const logVariance = logs.mul(0).add(2 * Math.log(sigma));
  return [...(await decoder.logLikelihood(given, { mean: means, logVariance }).data())];
}

const backends = [
  { name: "cpu float64", open: async () => exact as Backend, skip: false, digits: 1e-9 },
  { name: "cpu", open: async () => cpu() as Backend, skip: false, digits: 2e-5 },
  { name: "wasm", open: () => wasm() as Promise<Backend>, skip: false, digits: 2e-5 },
  { name: "webgpu", open: () => webgpu() as Promise<Backend>, skip: !gpuAvailable, digits: 2e-5 },
];

describe.each(backends.filter(({ skip }) => !skip))("on $name", ({ open, digits }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => {
    if (backend !== exact) backend.dispose?.();
  });

  test.each([
    [0, 0.005],
    [0.3, 0.01],
    [-0.98, 0.1],
    [1, 0.003],
    [1.4, 0.2],
    [0, 1],
  ])("the probabilities of all 256 levels add up to 1, for mean %f and deviation %f", async (mean, sigma) => {
    for (const cdf of ["exact", "tanh"] as const) {
      const logs = await logOf(
        discretisedDecoder({ cdf, floor: cdf === "exact" ? 0 : 1e-30 }),
        backend,
        GRID,
        mean,
        sigma,
      );
      const total = logs.reduce((sum, log) => sum + Math.exp(log), 0);
      expect(Math.abs(total - 1)).toBeLessThan(digits);
    }
  });

  test("five deviations away the exact logarithm is −13.1226, the tanh one −14.3383", async () => {
    const far = (cdf: "exact" | "tanh", x: number) =>
      logOf(discretisedDecoder({ cdf, floor: 1e-30 }), backend, [x], 0, 0.01);
    expect((await far("exact", 0.05))[0]).toBeCloseTo(-13.1226, 4);
    expect((await far("exact", -0.05))[0]).toBeCloseTo(-13.1226, 4);
    // In float32 ½ (1 + tanh) is rounded by 2⁻²⁵, a twentieth of the probability of 5.9e-7.
    for (const x of [0.05, -0.05]) {
      expect(Math.abs((await far("tanh", x))[0] + 14.3383)).toBeLessThan(backend === exact ? 1e-4 : 0.1);
    }
  });

  test("the least probability is 1e-12 by default, and can be none", async () => {
    expect((await logOf(discretisedDecoder(), backend, [0.9], -0.9, 0.01))[0]).toBeCloseTo(Math.log(1e-12), 4);
    const [free] = await logOf(discretisedDecoder({ floor: 0 }), backend, [0.5], 0, 0.01);
    // Mills' ratio: log Φ(−u) = −u²/2 − log(u √(2π)) − 1/u² + 5/(2u⁴) …, at the nearer end u of the bin; the farther adds e⁻³⁹.
    const u = (0.5 - 1 / 255) / 0.01;
    const wanted = -(u ** 2) / 2 - Math.log(u * Math.sqrt(2 * Math.PI)) - u ** -2 + 2.5 * u ** -4;
    expect(Math.abs(free / wanted - 1)).toBeLessThan(digits);
  });

  test("the gradients by mean and log variance are finite everywhere, and those of the formula", async () => {
    const decoder = discretisedDecoder();
    const values = [-1, -0.99, -0.5, 1 / 255, 0.2, 0.9, 1];
    const x = tensor(values, { backend });
    const mean = tensor(new Array(7).fill(1 / 255), { backend });
    for (const log of [-46, -12, -9, -2, 0, 3]) {
      const logVariance = tensor(new Array(7).fill(log), { backend });
      const f = (mean: Tensor, logVariance: Tensor) => decoder.logLikelihood(x, { mean, logVariance }).sum();
      for (const slope of grad(f, [mean, logVariance])) {
        expect([...(await slope.data())].every(Number.isFinite)).toBe(true);
      }
    }
    const logVariance = tensor(new Array(7).fill(-2), { backend });
    const [slope] = grad((mean) => decoder.logLikelihood(x, { mean, logVariance }).sum(), [mean]);
    for (const [i, found] of [...(await slope.data())].entries()) {
      const at = async (mean: number) => (await logOf(decoder, exact, [values[i]], mean, Math.exp(-1)))[0];
      const wanted = ((await at(1 / 255 + 1e-5)) - (await at(1 / 255 - 1e-5))) / 2e-5;
      // 1 / h of the logarithms' rounding, h = 0.0107 the bin's half width in deviations.
      expect(Math.abs(found - wanted)).toBeLessThan(backend === exact ? 1e-5 : 1e-3);
    }
  });
});

test("the decoder is differentiable twice", async () => {
  const x = tensor([-1, 0.2 - 0.2 / 255, 1], { backend: exact });
  const logVariance = tensor([-4, -9, -4], { backend: exact });
  const mean = tensor([-0.9, 0.2, 0.8], { backend: exact });
  const slope = (mean: Tensor) =>
    grad((m) => discretisedDecoder().logLikelihood(x, { mean: m, logVariance }).sum(), [mean])[0];
  const [curvature] = grad((mean) => slope(mean).sum(), [mean]);
  const step = 1e-6;
  const [above, below] = await Promise.all([slope(mean.add(step)).data(), slope(mean.sub(step)).data()]);
  for (const [i, found] of [...(await curvature.data())].entries()) {
    const wanted = (above[i] - below[i]) / (2 * step);
    expect(Math.abs(found / wanted - 1)).toBeLessThan(1e-5);
  }
});

test("data that has no probability is refused by its value", async () => {
  const check = (values: number[]) => discretisedDecoder().check(tensor(values, { backend: exact }));
  await check([...GRID]);
  await discretisedDecoder().check(tensor(GRID, { backend: cpu() }));
  await expect(check([0.2, -1.5])).rejects.toThrow("discretisedDecoder: data reaches 1.5, want it in [−1, 1]");
  await expect(check([Number.NaN])).rejects.toThrow(
    "discretisedDecoder: data have 1 elements that are NaN or infinite, want finite ones",
  );
  await expect(check([1, 0])).rejects.toThrow("discretisedDecoder: data lies 0.5 of a step beside the 256 levels");
  expect(() => discretisedDecoder({ levels: 1 })).toThrow("discretisedDecoder: levels is 1, want an integer from 2 on");
  expect(() => discretisedDecoder({ floor: 1 })).toThrow("discretisedDecoder: floor is 1, want a number in [0, 1)");
  expect(() => discretisedDecoder({ floor: 0, cdf: "tanh" })).toThrow("discretisedDecoder: floor is 0");
});

test("the Gaussian decoder is the density", async () => {
  const [x, mean, logVariance] = [0.7, 0.2, -1].map((value) => tensor([value], { backend: exact }));
  const wanted = Math.log(Math.exp(-(0.25 / (2 * Math.exp(-1)))) / Math.sqrt(2 * Math.PI * Math.exp(-1)));
  expect(await gaussianDecoder().logLikelihood(x, { mean, logVariance }).item()).toBeCloseTo(wanted, 14);
});

test("the divergence of two normal distributions is the integral of q log(q / p)", async () => {
  const density = (x: number, [mean, log]: readonly number[]) =>
    Math.exp(-((x - mean) ** 2) / (2 * Math.exp(log))) / Math.sqrt(2 * Math.PI * Math.exp(log));
  for (const [q, p] of [
    [
      [0.3, -1],
      [0.1, 0.5],
    ],
    [
      [0, 0.7],
      [1, -0.2],
    ],
    [
      [2, 0],
      [2, 0],
    ],
  ]) {
    let integral = 0;
    for (let x = -20; x < 20; x += 1e-3) {
      const value = density(x, q);
      if (value > 0) integral += 1e-3 * value * Math.log(value / density(x, p));
    }
    const [mean, logVariance] = q.map((value) => tensor([value], { backend: exact }));
    const [other, otherLog] = p.map((value) => tensor([value], { backend: exact }));
    const found = await klNormal({ mean, logVariance }, { mean: other, logVariance: otherLog }).item();
    expect(found).toBeCloseTo(integral, 9);
  }
});

test("dequantised images fall back to the same levels, uniformly within them", async () => {
  const n = 256 * 64;
  const images = tensor(
    Float64Array.from({ length: n }, (_, i) => GRID[i % 256]),
    { backend: cpu() },
  );
  const continuous = await dequantise(images, randomStream(3)).data();
  let sum = 0;
  for (const [i, y] of [...continuous].entries()) {
    const place = (y + 1) * 128;
    expect(Math.min(255, Math.floor(place))).toBe(i % 256);
    sum += place - (i % 256);
  }
  expect(Math.abs(sum / n - 0.5)).toBeLessThan(5 / Math.sqrt(12 * n)); // five standard deviations
  // A density of 1/2 on [−1, 1] makes each of 256 levels as likely: 8 bits.
  expect(dequantisedBits(3 * Math.LN2, 3)).toBe(8);
  expect(() => dequantise(images, randomStream(0), { levels: 1.5 })).toThrow("dequantise: levels is 1.5");
});
