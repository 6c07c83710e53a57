// The levels that samplers visit, and lists of σ.
import {
  ancestral,
  classifierGuidance,
  type DiscretePathOptions,
  ddim,
  discretePath,
  eulerAncestral,
  exponential,
  finalSample,
  gaussianOracle,
  heun,
  karras,
  lambdaOf,
  levelAt,
  linear,
  type Model,
  oracleModel,
  polyexponential,
  type Sampler,
  sample,
  sdePath,
  sigmaOf,
  sigmaPath,
  spacedTimes,
  vpSde,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const schedule = linear(1000);

test("Karras' levels begin at the largest σ, end at the smallest, and are even in σ^(1/ρ)", () => {
  const levels = karras(5, { min: 0.1, max: 10, rho: 3 });
  expect(levels[0]).toBeCloseTo(10, 12);
  expect(levels[4]).toBeCloseTo(0.1, 12);
  const roots = levels.map((sigma) => sigma ** (1 / 3));
  for (const k of [1, 2, 3]) expect(roots[k - 1] - roots[k]).toBeCloseTo(roots[k] - roots[k + 1], 12);
  expect(karras(1)).toEqual([karras(2)[0]]);
});

test("exponential levels are even in log σ; polyexponential ones bend them", () => {
  const levels = exponential(4, { min: 1, max: 8 });
  for (const [k, wanted] of [8, 4, 2, 1].entries()) expect(levels[k]).toBeCloseTo(wanted, 12);
  expect(polyexponential(3, { min: 1, max: 16, rho: 2 })[1]).toBeCloseTo(2, 12);
});

test("between two steps of a schedule the time is linear in log σ, and every step is found again", () => {
  const path = discretePath(schedule);
  for (const t of [0, 1, 500, 999]) {
    const found = path.at(sigmaOf(levelAt(schedule, t)));
    expect(found.t).toBeCloseTo(t, 6);
    expect(found.signal).toBeCloseTo(levelAt(schedule, t).signal, 12);
  }
  const [a, b] = [700, 701].map((t) => sigmaOf(levelAt(schedule, t)));
  expect(path.at(Math.sqrt(a * b)).t).toBeCloseTo(700.5, 9);
  expect(path.at(1e-6).t).toBe(0);
  expect(path.at(1e6).t).toBe(999);
  expect(lambdaOf(path.at(2))).toBeCloseTo(-Math.log(2), 12);
});

test("a path visits the asked steps or levels and ends at the data, or at the first step", () => {
  expect(discretePath(schedule, { steps: 4 }).levels.map(({ t }) => t)).toEqual([750, 500, 250, 0, -1]);
  expect(discretePath(schedule, { times: [999, 3] }).levels.map(({ t }) => t)).toEqual([999, 3, -1]);
  expect(discretePath(schedule, { times: [999, 3], end: "first step" }).levels[2]).toEqual(levelAt(schedule, 0));
  // No step leads from the first step to itself, not even by rounding.
  const [min, max] = [0, 999].map((t) => sigmaOf(levelAt(schedule, t)));
  const first = { end: "first step" } as const;
  expect(discretePath(schedule, { steps: 4, ...first }).levels.map(({ t }) => t)).toEqual([750, 500, 250, 0]);
  expect(discretePath(schedule, { sigmas: karras(10, { min, max }), ...first }).levels).toHaveLength(10);
  const sigmas = discretePath(schedule, { sigmas: karras(3, { min: 0.1, max: 10 }) }).levels.map(sigmaOf);
  for (const [k, sigma] of karras(3, { min: 0.1, max: 10 }).entries()) expect(sigmas[k]).toBeCloseTo(sigma, 9);
  expect(sigmas[3]).toBe(0);
});

test("an offset is added to spaced steps, and one step is the last whatever the spacing", () => {
  const times = (options: DiscretePathOptions) => discretePath(schedule, options).levels.map(({ t }) => t);
  // Stable Diffusion's, with diffusers' steps_offset of 1.
  expect(times({ steps: 4, offset: 1 })).toEqual([751, 501, 251, 1, -1]);
  for (const spacing of ["leading", "linspace", "trailing"] as const)
    expect(times({ steps: 1, spacing })).toEqual([999, -1]);
  // Alone, both of these give step 0 to numpy and to diffusers.
  expect([spacedTimes(1000, 1), spacedTimes(1000, 1, "linspace")]).toEqual([[0], [0]]);
  expect(times({ times: [0] })).toEqual([0, -1]);
  expect(() => times({ steps: 4, offset: -1 })).toThrow("discretePath: offset is -1, want an integer from 0 on");
  expect(() => times({ steps: 4, spacing: "trailing", offset: 1 })).toThrow(
    "discretePath: offset is 1 for steps up to 999 of 1000, want at most 0",
  );
});

test("DDIM and ancestral sampling go where a path says, and DDIM on any path", async () => {
  const model: Model = { forward: (x, [t]: readonly number[]) => x.mul(0.5 + t / 4000) };
  const end = async (sampler: Sampler) => {
    const from = { x: randomStream(1).normal([2, 3], { backend }) };
    return (await finalSample(sample(sampler, model, [2, 3], randomStream(2), { from }))).data();
  };
  const chosen = discretePath(schedule, { times: [990, 400, 30], end: "first step" });
  for (const sampler of [ddim(chosen, { eta: 1 }), ancestral(chosen)]) {
    expect(sampler.levels.map(({ t }) => t)).toEqual([990, 400, 30, 0]);
    // The last step leads to a level with noise, and so adds some.
    expect(await end(sampler)).not.toEqual(await end(ddim(chosen)));
  }
  for (const path of [chosen, sigmaPath(karras(6), { prediction: "noise" }), sdePath(vpSde(), { steps: 6 })]) {
    const [found, wanted] = [await end(ddim(path, { eta: 0.5 })), await end(eulerAncestral(path, { eta: 0.5 }))];
    for (const [i, value] of [...found].entries()) expect(value / wanted[i]).toBeCloseTo(1, 9);
  }
  expect(() => ancestral(discretePath(schedule, { sigmas: [10, 1] }))).toThrow(
    /ancestral: the path asks at step \d+\.\d+, want/,
  );
});

test("a step without a signal has σ = 4096, or twice that of the step before, since samplers divide by the signal", () => {
  const [short] = discretePath(zeroTerminalSnr(linear(100)), { prediction: "velocity" }).levels;
  expect(sigmaOf(short)).toBeCloseTo(4096, 9);
  // 15406 at the step before: a σ of 4096 would rise to it.
  const [last, next] = discretePath(zeroTerminalSnr(linear(1000)), { prediction: "velocity" }).levels;
  expect(sigmaOf(next)).toBeGreaterThan(15000);
  expect(sigmaOf(last) / sigmaOf(next)).toBeCloseTo(2, 9);
  for (const { signal, noise } of [short, last]) expect(signal ** 2 + noise ** 2).toBeCloseTo(1, 12);
});

test("a path reads every kind of prediction", async () => {
  const [data, noise] = [0.5, -2].map((value) => tensor([value], { backend }));
  const [level] = discretePath(schedule, { times: [500] }).levels;
  const x = data.mul(level.signal).add(noise.mul(level.noise));
  const given = {
    noise,
    data,
    velocity: noise.mul(level.signal).sub(data.mul(level.noise)),
    score: noise.div(-level.noise),
  };
  for (const prediction of ["noise", "data", "velocity", "score"] as const) {
    const path = discretePath(schedule, { times: [500], prediction });
    expect(await path.denoise(given[prediction], x, level).item()).toBeCloseTo(0.5, 12);
  }
  const limited = sigmaPath([2], { clip: (estimate) => estimate.minimum(0.25) });
  expect(await limited.denoise(data, x, limited.levels[0]).item()).toBe(0.25);
});

test.each([0.002, 0.7, 80])(
  "velocity at σ = %d is (ε − σ x₀) / √(1 + σ²), read as c_skip x + c_out v",
  async (sigma) => {
    const [data, noise] = [0.5, -2].map((value) => tensor([[value]], { backend }));
    const path = sigmaPath([sigma], { prediction: "velocity" });
    const [level] = path.levels;
    const x = data.add(noise.mul(sigma));
    const velocity = noise.sub(data.mul(sigma)).div(Math.hypot(1, sigma));
    const read = path.denoise(velocity, x, level);
    const [skip, out] = [1 / (1 + sigma ** 2), -sigma / Math.hypot(1, sigma)]; // k-diffusion's VDenoiser, with σ_data = 1
    expect(await read.item()).toBeCloseTo(0.5, 12);
    expect(await x.mul(skip).add(velocity.mul(out)).item()).toBeCloseTo(0.5, 12);
    expect((await path.score?.(velocity, x, level).item()) ?? 0).toBeCloseTo(2 / sigma, 6);

    const oracle = gaussianOracle({ mean: [0.3], variance: 0.25 });
    const of = (prediction: "data" | "velocity") => oracleModel(oracle, path.at, prediction);
    const start = { from: { x }, backend };
    const levels = [80, 5, 0.7, 0.002].filter((below) => below <= sigma);
    const drawn = (prediction: "data" | "velocity", guide = (model: Model) => model) =>
      finalSample(
        sample(heun(sigmaPath(levels, { prediction })), guide(of(prediction)), [1, 1], randomStream(0), {
          ...start,
          labels: [0],
        }),
      );
    expect(await (await drawn("velocity")).item()).toBeCloseTo(await (await drawn("data")).item(), 9);
    const guided = (prediction: "data" | "velocity") => (model: Model) =>
      classifierGuidance(model, (at) => at.mul(1e-3).sum(1), { levels: path.at, prediction });
    const ends = await Promise.all((["velocity", "data"] as const).map((kind) => drawn(kind, guided(kind))));
    expect(await ends[0].item()).toBeCloseTo(await ends[1].item(), 9);
  },
);

test("lists that do not fall, and ranges that are none, are refused", () => {
  expect(() => sigmaPath([1, 2])).toThrow("sigmaPath: sigmas[1] is 2 after 1, want falling numbers");
  expect(() => sigmaPath([1, 0])).toThrow("sigmaPath: sigmas has 0, want positive numbers");
  expect(() => sigmaPath([])).toThrow("sigmaPath: no sigmas, want at least one");
  expect(() => discretePath(schedule, { times: [5, 5] })).toThrow("discretePath: times[1] is 5 after 5");
  expect(() => discretePath(schedule, { times: [1000] })).toThrow("schedule: t is 1000, want an integer in [0, 999]");
  expect(() => karras(5, { min: 1, max: 1 })).toThrow("karras: σ from 1 to 1, want 0 < min < max");
  expect(() => karras(0)).toThrow("karras: n is 0, want a positive integer");
  expect(() => discretePath(schedule).at(0)).toThrow("path: σ is 0, want a positive number");
});
