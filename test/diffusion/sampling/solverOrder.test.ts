// The order of every solver, on the probability-flow ODE and the reverse SDE of Gaussian data, where both are known exactly.
import {
  ddimInversion,
  deis,
  dpm2,
  dpm2Ancestral,
  dpmSolver,
  dpmSolverPlusPlus,
  euler,
  eulerAncestral,
  finalSample,
  heun,
  lms,
  type Model,
  type NoiseLevel,
  type NoisePath,
  type NoiseSource,
  pndm,
  type Sampler,
  sample,
  sigmaOf,
  uniPc,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });

/** The data: N(MEAN, VARIANCE). */
const [MEAN, VARIANCE] = [0.7, 0.25];

/** A path whose levels are even in λ, where signal² + noise² = 1 or where the signal is 1. Its time is σ^⅓. */
function evenPath(steps: number, scale: "preserving" | "exploding", { max = 4, min = 0.15 } = {}): NoisePath {
  const at = (sigma: number): NoiseLevel => {
    const signal = scale === "exploding" ? 1 : 1 / Math.hypot(1, sigma);
    return { t: Math.cbrt(sigma), signal, noise: signal * sigma };
  };
  return {
    levels: Array.from({ length: steps + 1 }, (_, k) => at(max * (min / max) ** (k / steps))),
    prior: at(max).noise,
    at,
    denoise: (predicted) => predicted,
  };
}

/** The exact denoiser of x in the path's scale. */
const denoiser = (path: NoisePath, mean = MEAN, sigma = (t: number) => t ** 3): Model => ({
  forward: (x, [t]: readonly number[]) =>
    x
      .mul(1 / path.at(sigma(t)).signal)
      .sub(mean)
      .mul(VARIANCE / (VARIANCE + sigma(t) ** 2))
      .add(mean),
});

/** Where the ODE takes x / signal = 3 at the first level: (x̄ − m) / √(s² + σ²) stays. */
function exact({ levels }: NoisePath, index: number): number {
  const deviation = (level: NoiseLevel) => Math.sqrt(VARIANCE + sigmaOf(level) ** 2);
  return levels[index].signal * (MEAN + ((3 - MEAN) * deviation(levels[index])) / deviation(levels[0]));
}

/** What the exact solution would have left for step `index`, the newest first. */
type Memory = (path: NoisePath, index: number) => number[];

const denoisedAt = (path: NoisePath, k: number) => {
  const { signal, noise } = path.levels[k];
  const x = exact(path, k) / signal;
  return MEAN + ((x - MEAN) * VARIANCE) / (VARIANCE + (noise / signal) ** 2);
};
const noiseAt = (path: NoisePath, k: number) =>
  (exact(path, k) - path.levels[k].signal * denoisedAt(path, k)) / path.levels[k].noise;
const earlier =
  (count: number, of: (path: NoisePath, k: number) => number): Memory =>
  (path, index) =>
    Array.from({ length: count }, (_, k) => of(path, index - 1 - k));

/** The error at the last level, after a start at step `memory.length` from the exact solution and memory. */
async function error(
  solver: (path: NoisePath) => Sampler,
  path: NoisePath,
  start: number,
  memory: Memory,
  sigma = (t: number) => t ** 3,
): Promise<number> {
  const one = (value: number) => tensor([value], { backend });
  const from = { x: one(exact(path, start)), step: start, memory: memory(path, start).map(one) };
  const x = await finalSample(sample(solver(path), denoiser(path, MEAN, sigma), [1], randomStream(0), { from }));
  return Math.abs((await x.item()) - exact(path, path.levels.length - 1));
}

interface Case {
  readonly name: string;
  readonly order: number;
  readonly solver: (path: NoisePath) => Sampler;
  /** The step to start at: what was before it, the exact solution does. Default 0. */
  readonly start?: number;
  readonly memory?: Memory;
}

/** UniPC's memory: x of the step before, and earlier estimates. */
const predicted =
  (count: number): Memory =>
  (path, index) =>
    index === 0 ? [] : [exact(path, index - 1), ...earlier(count, denoisedAt)(path, index)];

const full = { lowerOrderFinal: false };
const cases: readonly Case[] = [
  { name: "Euler", order: 1, solver: euler },
  { name: "Euler-ancestral with eta 0", order: 1, solver: (path) => eulerAncestral(path, { eta: 0 }) },
  { name: "Heun", order: 2, solver: heun },
  { name: "DPM2", order: 2, solver: dpm2 },
  { name: "DPM2-ancestral with eta 0", order: 2, solver: (path) => dpm2Ancestral(path, { eta: 0 }) },
  ...[1, 2, 3, 4].flatMap((order): Case[] => {
    const looksBack = { order, start: order - 1, memory: earlier(order - 1, noiseAt) };
    return [
      { name: `LMS ${order}`, ...looksBack, solver: (path) => lms(path, { order }) },
      { name: `tAB-DEIS ${order}`, ...looksBack, solver: (path) => deis(path, { order, ...full }) },
      {
        name: `log-ρAB-DEIS ${order}`,
        ...looksBack,
        solver: (path) => deis(path, { order, over: "log sigma", ...full }),
      },
    ];
  }),
  { name: "PNDM", order: 2, solver: pndm },
  { name: "PLMS", order: 2, solver: (path) => pndm(path, { start: "heun" }) },
  ...[1, 2, 3].flatMap((order): Case[] => [
    { name: `DPM-Solver-${order}`, order, solver: (path) => dpmSolver(path, { order }) },
    { name: `DPM-Solver++(${order}S)`, order, solver: (path) => dpmSolver(path, { order, of: "data" }) },
    ...(["midpoint", "heun"] as const).map((form) => ({
      name: `DPM-Solver++(${order}M) ${form}`,
      order,
      solver: (path: NoisePath) => dpmSolverPlusPlus(path, { order, form, ...full }),
      start: order - 1,
      memory: earlier(order - 1, denoisedAt),
    })),
    ...(["bh1", "bh2"] as const).flatMap((form): Case[] => [
      {
        name: `UniP-${order} ${form}`,
        order,
        solver: (path) => uniPc(path, { order, form, corrector: false, ...full }),
        start: order - 1,
        memory: predicted(order - 1),
      },
      {
        name: `UniPC-${order} ${form}`,
        order: order + 1,
        solver: (path) => uniPc(path, { order, form, ...full }),
        start: order,
        memory: predicted(order),
      },
    ]),
  ]),
];

/** log₂ of how much smaller the second of two errors is. */
const observed = ([coarse, fine]: readonly number[]) => Math.log2(coarse / fine);

describe.each(["preserving", "exploding"] as const)("in the variance-%s scale the order is right:", (scale) => {
  test.each(cases)("$name is of order $order", async ({ order, solver, start = 0, memory = () => [] }) => {
    const errors = [
      await error(solver, evenPath(160, scale), start, memory),
      await error(solver, evenPath(320, scale), start, memory),
    ];
    expect(Math.abs(observed(errors) - order)).toBeLessThan(0.15);
    expect(errors[1]).toBeLessThan(1e-3);
  });
});

test("PNDM is of order 4 where the levels are even in σ", async () => {
  const even = (steps: number): NoisePath => {
    const { at, ...path } = evenPath(1, "exploding", { max: 4, min: 1 });
    // The time is σ here, so that the middle of a step is in the middle of its σ.
    const level = (sigma: number) => ({ ...at(sigma), t: sigma });
    return { ...path, at: level, levels: Array.from({ length: steps + 1 }, (_, k) => level(4 - (3 * k) / steps)) };
  };
  const errors = [160, 320].map((steps) =>
    error(
      (path) => pndm(path),
      even(steps),
      0,
      () => [],
      (t) => t,
    ),
  );
  expect(Math.abs(observed(await Promise.all(errors)) - 4)).toBeLessThan(0.15);
});

test("DDIM inversion is of order 1, and the fixed point of its iterations is what Euler takes back exactly", async () => {
  const backwards = async (steps: number) => {
    const path = evenPath(steps, "preserving");
    const x = tensor([exact(path, steps)], { backend });
    const end = await finalSample(sample(ddimInversion(path), denoiser(path), [1], randomStream(0), { from: { x } }));
    return Math.abs((await end.item()) - exact(path, 0));
  };
  expect(Math.abs(observed([await backwards(160), await backwards(320)]) - 1)).toBeLessThan(0.15);

  const path = evenPath(10, "preserving");
  const x = tensor([0.3, -2], { backend });
  const there = async (iterations: number) => {
    const run = sample(ddimInversion(path, { iterations }), denoiser(path), [2], randomStream(0), { from: { x } });
    const from = { x: (await finalSample(run)).detach() };
    const back = await finalSample(sample(euler(path), denoiser(path), [2], randomStream(0), { from }));
    return await back.sub(x).abs().max().item();
  };
  expect(await there(1)).toBeGreaterThan(1e-2);
  expect(await there(60)).toBeLessThan(1e-12);
});

/**
 * How far the variance at the last level is from that of the data with the noise there, after a start from the first level's. A
 * sampler is linear in its start and its draws: sample 0 starts at a standard deviation and gets no noise, sample k starts at 0 and
 * gets 1 as its k-th draw alone, and the squares add up.
 */
async function bias(solver: (path: NoisePath) => Sampler, path: NoisePath): Promise<number> {
  const batch = 2 * path.levels.length; // at most two draws a step
  const unit = (at: number) =>
    tensor(
      Float64Array.from({ length: batch }, (_, k) => Number(k === at)),
      { backend },
    );
  let draws = 0;
  const oneAtATime: NoiseSource = { normal: () => unit(++draws) };
  const [first, last] = [path.levels[0], path.levels[path.levels.length - 1]].map(
    ({ signal, noise }) => signal ** 2 * VARIANCE + noise ** 2,
  );
  const from = { x: unit(0).mul(Math.sqrt(first)) };
  const x = await finalSample(sample(solver(path), denoiser(path, 0), [batch], oneAtATime, { from }));
  return Math.abs((await x.square().sum().item()) - last);
}

const noisy: readonly Case[] = [
  ...[0.5, 1].flatMap((eta): Case[] => [
    { name: `Euler-ancestral, eta ${eta}`, order: 1, solver: (path) => eulerAncestral(path, { eta }) },
    { name: `DPM2-ancestral, eta ${eta}`, order: 2, solver: (path) => dpm2Ancestral(path, { eta }) },
    { name: `SDE-DPM-Solver++(1), eta ${eta}`, order: 1, solver: (path) => dpmSolverPlusPlus(path, { order: 1, eta }) },
    ...(["midpoint", "heun"] as const).map((form) => ({
      name: `SDE-DPM-Solver++(2M) ${form}, eta ${eta}`,
      order: 2,
      solver: (path: NoisePath) => dpmSolverPlusPlus(path, { form, eta, ...full }),
    })),
    // The start, a step of order 1, leaves an error of h².
    {
      name: `SDE-DPM-Solver++(3M), eta ${eta}`,
      order: 2,
      solver: (path) => dpmSolverPlusPlus(path, { order: 3, eta }),
    },
  ]),
  { name: "Euler with churn", order: 1, solver: (path) => euler(path, { churn: 3 }) },
  { name: "Heun with churn", order: 2, solver: (path) => heun(path, { churn: 3 }) },
  { name: "DPM2 with churn", order: 2, solver: (path) => dpm2(path, { churn: 3 }) },
];

describe.each(["preserving", "exploding"] as const)("in the variance-%s scale noise keeps the marginals:", (scale) => {
  test.each(noisy)("$name has a bias of order $order", async ({ order, solver }) => {
    const biases = [await bias(solver, evenPath(160, scale)), await bias(solver, evenPath(320, scale))];
    expect(Math.abs(observed(biases) - order)).toBeLessThan(0.15);
    expect(biases[1]).toBeLessThan(order === 1 ? 3e-3 : 3e-5);
  });
});
