// The forward chain step by step, and the reverse step in its two forms.
import {
  alphaBarAt,
  ancestral,
  convertPrediction,
  cosine,
  type DiscretePathOptions,
  discretePath,
  finalSample,
  forwardChain,
  forwardStep,
  fromAlphaBars,
  linear,
  posterior,
  posteriorMeanFromNoise,
  respace,
  respacedModel,
  type Schedule,
  sample,
  spacedTimes,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { cpu, keep, liveTensors, randomStream, type Tensor, tensor, torchStream, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldTensors } from "../../setup/heldTensors.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

const farthest = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();

test("one step is √(1 − β) x + √β ε at each sample's own step", async () => {
  const x = tensor([[1], [2]], { backend: exact });
  const { noisy, noise } = forwardStep(schedule, x, [0, 999], randomStream(3));
  const [a, b] = await noise.data();
  const found = await noisy.data();
  expect(found[0]).toBeCloseTo(Math.sqrt(1 - 1e-4) + Math.sqrt(1e-4) * a, 12);
  expect(found[1]).toBeCloseTo(2 * Math.sqrt(0.98) + Math.sqrt(0.02) * b, 12);
  expect(() => forwardStep(schedule, x, [0, 1000], randomStream(0))).toThrow("forwardStep: times[1] is 1000");
  expect(() => forwardStep(schedule, x, [0, -1], randomStream(0))).toThrow(
    "forwardStep: times[1] is -1, want an integer in [0, 999]",
  );
  expect(() => forwardStep(schedule, x, [0], randomStream(0))).toThrow("forwardStep: 1 times for a batch of 2");
});

test("the chain without noise of its own is the jump; its noises add up to the jump's variance", async () => {
  // x is linear in x₀ and the draws: element 0 carries x₀ alone, element k the k-th draw alone, and the squares add up.
  const short = cosine(20);
  const draws: Tensor[] = [];
  const rng = {
    ...randomStream(0),
    take: () => null,
    normal: () => {
      const unit = Float64Array.from({ length: 21 }, (_, i) => Number(i === draws.length + 1));
      draws.push(tensor(unit, { backend: exact, shape: [1, 21] }));
      return draws[draws.length - 1];
    },
  };
  const x0 = tensor([[1, ...new Array(20).fill(0)]], { backend: exact });
  let steps = 0;
  for (const { t, x } of forwardChain(short, x0, rng)) {
    const [signal, ...noises] = await x.data();
    expect(t).toBe(steps++);
    expect(signal).toBeCloseTo(Math.sqrt(alphaBarAt(short, t)), 12);
    expect(noises.reduce((sum, a) => sum + a * a, 0)).toBeCloseTo(1 - alphaBarAt(short, t), 12);
  }
  expect(steps).toBe(20);
});

test("the chain leaves nothing behind but what was kept", () => {
  const x0 = randomStream(1).normal([2, 3], { backend: exact });
  const before = heldTensors();
  let last: Tensor | undefined;
  for (const { t, x } of forwardChain(linear(5), x0, randomStream(2))) if (t === 4) last = keep(x.mul(1));
  expect(liveTensors()).toBe(before + 1);
  last?.dispose();
});

describe("the mean of the reverse step", () => {
  const x = randomStream(4).normal([5, 7], { backend: exact });
  const noise = randomStream(5).normal([5, 7], { backend: exact });
  const through = (t: number, to: number, clip: boolean) => {
    const times = new Array<number>(5).fill(t);
    const data = convertPrediction(schedule, noise, { from: "noise", to: "data", x, times });
    const { fromData, fromNoisy } = posterior(schedule, t, to);
    return (clip ? data.clamp(-1, 1) : data).mul(fromData).add(x.mul(fromNoisy));
  };

  test.each([
    [0, -1],
    [1, 0],
    [500, 499],
    [999, 998],
    [900, 400],
  ])("from %i to %i is the same from the noise and through x̂₀, if that is not clipped", async (t, to) => {
    const direct = posteriorMeanFromNoise(schedule, x, noise, t, to);
    const scale = await direct.abs().max().item();
    expect(await farthest(direct, through(t, to, false))).toBeLessThan(1e-9 * scale);
    expect(await farthest(direct, through(t, to, true))).toBeGreaterThan(1e-3);
  });

  test("cannot be had from the noise where there is no signal", () => {
    expect(() => posteriorMeanFromNoise(zeroTerminalSnr(schedule), x, noise, 999)).toThrow(
      "posteriorMeanFromNoise: β is 1 at step 999, where the noise says nothing of the data: want β below 1",
    );
  });
});

test("the documents' sampling algorithm, written out, is ancestral sampling without clipping", async () => {
  const short = linear(50, { start: 0.001, end: 0.3 });
  const predict = (x: Tensor, t: number) => x.mul(0.9 * Math.sqrt(1 - alphaBarAt(short, t))).add(0.01 * t);
  const rng = randomStream(6);
  let x = rng.normal([3, 4], { backend: exact });
  for (let t = short.steps - 1; t >= 0; t--) {
    const mean = posteriorMeanFromNoise(short, x, predict(x, t), t);
    const sigma = Math.sqrt(posterior(short, t).variance);
    x = t === 0 ? mean : mean.add(rng.normal([3, 4], { backend: exact }).mul(sigma));
  }
  const model = { forward: (noisy: Tensor, [t]: readonly number[]) => predict(noisy, t) };
  const run = sample(ancestral(discretePath(short)), model, [3, 4], randomStream(6), { backend: exact });
  expect(await farthest(await finalSample(run), x)).toBeLessThan(1e-10);
});

test("sampling a respaced schedule is sampling the steps of the original", async () => {
  const model = { forward: (x: Tensor, [t]: readonly number[]) => x.mul(t / (t + 1)) };
  const start = randomStream(1).normal([2, 5], { backend: exact });
  const wanted = await finalSample(
    sample(ancestral(discretePath(schedule, { steps: 20 })), model, [2, 5], randomStream(2), { from: { x: start } }),
  );
  const respaced = respace(schedule, spacedTimes(1000, 20));
  const found = await finalSample(
    sample(ancestral(discretePath(respaced)), respacedModel(model, respaced), [2, 5], randomStream(2), {
      from: { x: start },
    }),
  );
  expect(await farthest(found, wanted)).toBe(0);
  expect(() => respacedModel(model, respaced).forward(start, [0, 20])).toThrow(
    "respacedModel: times[1] is 20, want an integer in [0, 19]",
  );
});

const backends = [
  { name: "cpu float64", open: async () => exact, skip: false },
  { name: "cpu float32", open: async () => cpu(), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];

describe.each(backends.filter(({ skip }) => !skip))("float32 tables on $name", ({ open }) => {
  const ramp = { forward: (x: Tensor, [t]: readonly number[]) => x.mul(t / (t + 1)) };
  const values = Float64Array.from({ length: 768 }, (_, i) => ((i % 192) * 4 + Math.floor(i / 192)) / 768);
  const sum = async (schedule: Schedule, options: DiscretePathOptions = {}) => {
    const x = tensor(values, { backend: await open(), shape: [4, 3, 8, 8] });
    const run = sample(
      ancestral(discretePath(schedule, { clip: true, ...options })),
      ramp,
      [4, 3, 8, 8],
      torchStream(0),
      {
        from: { x },
      },
    );
    return (await finalSample(run)).abs().sum().item();
  };

  test("give the sums that diffusers pins for UnCLIP", async () => {
    const tables = cosine(1000, { precision: "float32" });
    expect(Math.abs((await sum(tables)) - 252.26825)).toBeLessThan(1e-2);
    expect(Math.abs((await sum(tables, { steps: 25, spacing: "linspace" })) - 258.2045)).toBeLessThan(1e-2);
  });

  test("give the one that it pins for DDPM, which takes β from the ratios of ᾱ", async () => {
    const { alphaBars } = linear(1000, { precision: "float32" });
    expect(Math.abs((await sum(fromAlphaBars(alphaBars))) - 258.9606)).toBeLessThan(1e-2);
  });
});
