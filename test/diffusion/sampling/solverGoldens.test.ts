// Solvers against the sums that diffusers' scheduler tests pin, with the quirks of those tests.
import {
  ddim,
  ddimInversion,
  deis,
  discretePath,
  dpm2,
  dpm2Ancestral,
  dpmSolverPlusPlus,
  euler,
  eulerAncestral,
  finalSample,
  heun,
  karras,
  levelAt,
  linear,
  lms,
  type Model,
  type NoisePath,
  pndm,
  preconditioned,
  type Sampler,
  type SamplerCall,
  sample,
  sigmaOf,
  sigmaPath,
  uniPc,
} from "@pkg/diffusion";
import { type Backend, cpu, type Tensor, tensor, torchStream, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";

const schedule = linear(1000);
const SHAPE = [4, 3, 8, 8];

/** The model of the fixture, of whatever it is taken to predict. */
const ramp: Model = { forward: (x, [t]: readonly number[]) => x.mul(t / (t + 1)) };

/** sample[b, place] = (4 place + b) / 768, and the noise that makes it up to 767/768. */
function fixture(backend: Backend): { readonly start: Tensor; readonly noise: Tensor } {
  const start = Float64Array.from({ length: 768 }, (_, i) => ((i % 192) * 4 + Math.floor(i / 192)) / 768);
  return {
    start: tensor(start, { backend, shape: SHAPE }),
    noise: tensor(
      start.map((value) => 767 / 768 - value),
      { backend, shape: SHAPE },
    ),
  };
}

/**
 * Ten even steps of 1,100 with σ linear in t between whole ones, as diffusers' Euler has it, and log σ linear elsewhere. Its tables
 * are of float32: sums of 50,000 tell.
 */
function interpolatedPath(): NoisePath {
  const schedule = linear(1100, { precision: "float32" });
  const sigmas = Array.from({ length: 1100 }, (_, t) => sigmaOf(levelAt(schedule, t)));
  const times = Array.from({ length: 10 }, (_, k) => ((9 - k) * 1099) / 9);
  const interpolated = times.map((t) => {
    const low = Math.min(Math.floor(t), 1098);
    return sigmas[low] + (t - low) * (sigmas[low + 1] - sigmas[low]);
  });
  const { at } = discretePath(schedule);
  const label = (sigma: number) => times[interpolated.indexOf(sigma)] ?? at(sigma).t;
  return sigmaPath(interpolated, { prediction: "noise", label });
}

type Inner = (sigma: number, next: number) => number;

/** Where the midpoint rules look, in the middle of log σ: between σ and σ′, or σ and σ_down = σ′² / σ. */
const middle: Inner = (sigma, next) => Math.sqrt(sigma * next);
const lowMiddle: Inner = (_, next) => next;

/**
 * The loop of those tests overwrites x by the scaled input of the model, x / √(σ² + 1), before each call of the model.
 * @param inner σ of the second call in a step
 */
function overwriting(sampler: Sampler, inner: Inner = () => 0): Sampler {
  return {
    ...sampler,
    step(call) {
      const [{ noise: sigma }, { noise: next }] = sampler.levels.slice(call.index);
      let calls = 0;
      const predict: SamplerCall["predict"] = (x, level) =>
        call.predict(calls++ === 0 ? x : x.div(Math.hypot(1, inner(sigma, next))), level);
      return sampler.step({ ...call, predict, x: call.x.div(Math.hypot(1, sigma)) });
    },
  };
}

const long = interpolatedPath();
/** round(linspace(0, 999, 11)) without 0, and the last step to that of step 0. */
const even = {
  times: Array.from({ length: 10 }, (_, k) => Math.round(((10 - k) * 999) / 10)),
  end: "first step",
} as const;
const evenPath = discretePath(schedule, even);
const evenVelocityPath = discretePath(schedule, { ...even, prediction: "velocity" });
const bent = linear(1000, { start: 0.01 });

/** Karras' levels from the last step to the first, asked at whole steps; then a step of no length, which lets UniPC correct x. */
function karrasPath(prediction: "noise" | "velocity"): NoisePath {
  const [min, max] = [0, 999].map((t) => sigmaOf(levelAt(schedule, t)));
  const path = discretePath(schedule, { prediction, sigmas: karras(10, { min, max }), end: "first step" });
  const levels = path.levels.map((level) => ({ ...level, t: Math.round(level.t) }));
  return { ...path, levels: [...levels, levels[levels.length - 1]] };
}

type Start = (fixture: { readonly start: Tensor; readonly noise: Tensor }) => {
  readonly x: Tensor;
  readonly step?: number;
};

/** The data with noise up to where a step begins. */
const noised =
  ({ levels }: Pick<Sampler, "levels">, step: number): Start =>
  ({ start, noise }) => ({ x: start.mul(levels[step].signal).add(noise.mul(levels[step].noise)), step });
/** Their start for image to image, which scales the data too. */
const largestNoised: Start = ({ start, noise }) => ({
  x: start.mul(long.prior).add(noise.mul(long.levels[8].noise)),
  step: 8,
});
const largest: Start = ({ start }) => ({ x: start.mul(long.prior) });

interface Golden {
  readonly name: string;
  readonly sampler: Sampler;
  readonly sum: number;
  readonly within: number;
  readonly model?: Model;
  readonly from?: Start;
}

const clippedAsDiffusers = { clip: true, rederiveNoise: false } as const;

const goldens: Golden[] = [
  {
    name: "DDIM of velocity",
    sampler: ddim(discretePath(schedule, { steps: 10, prediction: "velocity", ...clippedAsDiffusers })),
    sum: 52.5302,
    within: 1e-2,
  },
  {
    name: "DDIM from noised data",
    sampler: ddim(discretePath(schedule, { steps: 10, ...clippedAsDiffusers })),
    sum: 354.5418,
    within: 1e-2,
    from: noised(discretePath(schedule, { steps: 10 }), 8),
  },
  {
    name: "DDIM inversion",
    sampler: ddimInversion(discretePath(schedule, { steps: 10 })),
    sum: 671.6816,
    within: 1e-2,
  },
  {
    name: "DPM-Solver++(2M)",
    sampler: dpmSolverPlusPlus(evenPath, { lowerOrderFinal: false }),
    sum: 253.551387,
    within: 253.551387e-5,
  },
  { name: "UniPC", sampler: uniPc(evenPath), sum: 189.231819, within: 189.231819e-5 },
  {
    name: "PNDM",
    sampler: pndm(discretePath(schedule, { steps: 10, end: "first step" })),
    sum: 198.1318,
    within: 1e-2,
  },
  { name: "PNDM to the data", sampler: pndm(discretePath(bent, { steps: 10 })), sum: 230.0399, within: 1e-2 },
  {
    name: "PNDM to the first step",
    sampler: pndm(discretePath(bent, { steps: 10, end: "first step" })),
    sum: 186.9482,
    within: 1e-2,
  },
  { name: "DEIS", sampler: deis(evenPath, { order: 2, over: "log sigma" }), sum: 0.23916 * 768, within: 1e-3 * 768 },
  {
    name: "Euler",
    sampler: overwriting(euler(long)),
    sum: 10.0807,
    within: 1e-2,
    from: largest,
  },
  {
    name: "Euler-ancestral",
    sampler: overwriting(eulerAncestral(long)),
    sum: 152.3192,
    within: 1e-2,
    from: largest,
  },
  {
    name: "LMS",
    sampler: overwriting(lms(long)),
    sum: 1006.388,
    within: 1e-2,
    from: largest,
  },
  {
    name: "DPM-Solver++(2M) from noised data",
    sampler: dpmSolverPlusPlus(evenPath, { lowerOrderFinal: false }),
    sum: 318.4111,
    within: 1e-2,
    from: noised(evenPath, 5),
  },
  { name: "UniPC from noised data", sampler: uniPc(evenPath), sum: 315.5757, within: 1e-2, from: noised(evenPath, 8) },
  {
    name: "DEIS from noised data",
    sampler: deis(evenPath, { order: 2, over: "log sigma" }),
    sum: 315.3016,
    within: 1e-2,
    from: noised(evenPath, 8),
  },
  {
    name: "DPM-Solver++(2M) of velocity",
    sampler: dpmSolverPlusPlus(evenVelocityPath, { lowerOrderFinal: false }),
    sum: 0.2251 * 768,
    within: 1e-3 * 768,
  },
  { name: "UniPC of velocity", sampler: uniPc(evenVelocityPath), sum: 0.1014 * 768, within: 1e-3 * 768 },
  {
    name: "DEIS of velocity",
    sampler: deis(evenVelocityPath, { order: 2, over: "log sigma" }),
    sum: 0.091 * 768,
    within: 1e-3 * 768,
  },
  { name: "Heun", sampler: overwriting(heun(long), (_, next) => next), sum: 0.1233, within: 1e-2, from: largest },
  {
    name: "DPM2",
    sampler: overwriting(dpm2(long), middle),
    sum: 20.4125,
    within: 1e-2,
    from: largest,
  },
  ...(
    [
      ["Euler", euler(long), 57062.9297, undefined],
      ["Euler-ancestral", eulerAncestral(long), 56163.0508, undefined],
      ["Heun", heun(long), 75074.8906, (_, next) => next],
      ["DPM2", dpm2(long), 70408.4062, middle],
      ["DPM2-ancestral", dpm2Ancestral(long), 93087.3437, lowMiddle],
    ] satisfies [string, Sampler, number, Inner | undefined][]
  ).map(([name, sampler, sum, inner]) => ({
    name: `${name} from noised data`,
    sampler: overwriting(sampler, inner),
    sum,
    within: 1e-2,
    from: largestNoised,
  })),
  {
    name: "DPM2-ancestral",
    sampler: overwriting(dpm2Ancestral(long), lowMiddle),
    sum: 13979.9433,
    within: 1e-2,
    from: largest,
  },
  {
    name: "UniPC on Karras' levels",
    sampler: uniPc(karrasPath("noise")),
    sum: 0.2925 * 768,
    within: 1e-3 * 768,
  },
  {
    name: "UniPC of velocity on Karras' levels",
    sampler: uniPc(karrasPath("velocity")),
    sum: 0.1966 * 768,
    within: 1e-3 * 768,
  },
  {
    name: "DPM-Solver++(2M) of velocity on Karras' levels",
    sampler: dpmSolverPlusPlus(karrasPath("velocity")),
    sum: 0.2096 * 768,
    within: 1e-3 * 768,
  },
  {
    name: "EDM Euler",
    sampler: euler(sigmaPath(karras(10))),
    model: preconditioned(ramp),
    sum: 34.1855,
    within: 1e-3,
    from: ({ start }) => ({ x: start.mul(Math.sqrt(6401)) }),
  },
];

const backends = [
  { name: "cpu float64", open: async () => cpu({ precision: "float64" }), skip: false, rounding: 0 },
  { name: "cpu float32", open: async () => cpu(), skip: false, rounding: 2 ** -21 },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable, rounding: 2 ** -21 },
];

for (const { name, open, skip, rounding } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    test.each(goldens)("$name: $sum", async ({ sampler, model = ramp, sum, within, from }) => {
      const given = fixture(await open());
      const run = sample(sampler, model, SHAPE, torchStream(0), { from: from?.(given) ?? { x: given.start } });
      const found = await (await finalSample(run)).abs().sum().item();
      // In float32 two steps of at most four products and sums each are worth 8 half units in the last place, 2⁻²¹.
      expect(Math.abs(found - sum)).toBeLessThan(within + rounding * sum);
    });
  });
}
