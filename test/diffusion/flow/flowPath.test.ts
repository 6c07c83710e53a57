// The path of a flow: its levels, and every solver, likelihood and edit on it.
import {
  convertAtLevel,
  ddimInversion,
  encodeFlow,
  euler,
  eulerMaruyama,
  finalSample,
  flowPath,
  gaussianOracle,
  inpaint,
  linearInterpolant,
  type Model,
  mixtureOracle,
  odeLikelihood,
  oracleModel,
  oraclePath,
  sample,
  sampleFlow,
  sdePath,
  solvers,
  verifySampler,
  vpInterpolant,
  vpSde,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const INTERPOLANTS = { linear: linearInterpolant(), "variance-preserving": vpInterpolant() };
const gaussian = gaussianOracle({ mean: [0.1], variance: 0.25 });
const mixture = mixtureOracle({ weights: [0.3, 0.7], means: [[-1], [1]], variances: 0.16 });

/** Every solver that takes any path, with its options and variants. */
const cases = solvers.flatMap((solver) => {
  const of = (options: object) => (path: ReturnType<typeof flowPath>) => solver(path as never, options); // all paths are tried
  const all = [
    ["", {}] as const,
    ...Object.entries(solver.variants).map(([name, { options }]) => [name, options] as const),
  ];
  return all.map(([variant, options]) => ({
    name: variant ? `${solver.name}, ${variant}` : solver.name,
    of: of(options),
  }));
});
const taking = cases.filter(({ of }) => {
  try {
    return of(flowPath()) !== undefined;
  } catch {
    return false;
  }
});

test("every solver takes the path of a flow, but the one of whole steps of a schedule", () => {
  const others = cases.filter((one) => !taking.includes(one)).map(({ name }) => name);
  expect(others).toEqual(["ancestral"]);
});

test("levels are the times asked for and the data, and the prior is the noise at t = 1", () => {
  const path = flowPath({ steps: 4 });
  expect(path.times).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(path.levels.map(({ t }) => t)).toEqual([1, 0.75, 0.5, 0.25, 0]);
  expect(path.levels[1]).toMatchObject({ signal: 0.25, noise: 0.75 });
  expect(path.levels[0].signal).toBeCloseTo(0, 5);
  expect(path.prior).toBe(1);
  expect(path.at(3)).toMatchObject({ t: 0.75, signal: 0.25, noise: 0.75 });
  expect(flowPath({ times: [0.9, 0.3] }).times).toEqual([0.9, 0.3, 0]);
  expect(flowPath({ steps: 2, shift: 3 }).times).toEqual([1, 0.75, 0]);
});

test("a typed array of times is a list of them, and the smallest shift leaves t = 1", () => {
  expect(flowPath({ times: new Float64Array([1, 0.5]) as never })).toMatchObject({ times: [1, 0.5, 0] });
  expect(flowPath({ times: new Float64Array([0.5]) as never }).levels).toEqual(flowPath({ times: [0.5] }).levels);
  expect(flowPath({ steps: 2, shift: 1e-300 }).times).toEqual([1, 1e-300, 0]);
});

test("Euler's method is x + (t′ − t) u", async () => {
  const path = flowPath({ steps: 3 });
  const asked: number[] = [];
  const model: Model = {
    forward: (x, times) => {
      asked.push((times as number[])[0]); // samplers give lists
      return x.sin();
    },
  };
  const from = { x: tensor([[0.7], [-1.3]], { backend }) };
  const found = await (await finalSample(sample(euler(path), model, [2, 1], randomStream(0), { from }))).data();
  for (const [i, start] of [0.7, -1.3].entries()) {
    let x = start;
    for (let k = 0; k < 3; k++) x -= Math.sin(x) / 3;
    expect(found[i]).toBeCloseTo(x, 5);
  }
  expect(asked).toEqual([1, 2 / 3, 1 / 3].map((t) => expect.closeTo(t, 12)));
});

describe.each(Object.entries(INTERPOLANTS))("on the %s interpolant", (_, interpolant) => {
  test.each(taking)("with the exact velocity converges to the data: $name", async ({ of }) => {
    const { runs } = await verifySampler(
      (steps) => of(oraclePath(flowPath({ steps, interpolant }), gaussian)),
      gaussian,
      {
        steps: [32, 128],
      },
    );
    expect(runs[1].error).toBeLessThan(runs[0].error / 2);
    expect(runs[1].error).toBeLessThan(0.02);
  });

  test("a model of the velocity is read as the oracle is", async () => {
    const velocity = oracleModel(mixture, interpolant.level, "flow");
    const start = randomStream(1).normal([6, 1], { backend });
    const path = flowPath({ steps: 8, interpolant });
    const end = async (on: typeof path, model: Model) =>
      (await finalSample(sample(euler(on), model, [6, 1], randomStream(0), { from: { x: start } }))).data();
    const on = oraclePath(path, mixture);
    const wanted = await end(on, on.model);
    for (const [i, value] of [...(await end(path, velocity))].entries()) expect(value).toBeCloseTo(wanted[i], 5);
  });

  test("data and noise are read from dx/dt = α′ x₀ + σ′ ε at any level", async () => {
    const [data, noise] = [0.4, -1.1];
    for (const t of [0, 0.3, 0.9, 1]) {
      const level = interpolant.level(t);
      const x = tensor([level.signal * data + level.noise * noise], { backend });
      const velocity = tensor([level.rates.signal * data + level.rates.noise * noise], { backend });
      const read = (to: "data" | "noise") => convertAtLevel(level, velocity, { from: "flow", to, x }).item();
      expect(await read("data")).toBeCloseTo(data, 12);
      expect(await read("noise")).toBeCloseTo(noise, 12);
    }
  });

  test("the likelihood by the ODE is the exact log p, and the flow of Gaussian data is affine", async () => {
    // The density of x₀ + σ_min ε, σ_min at t = 1e-4.
    const path = oraclePath(flowPath({ times: [1, 1e-4], interpolant }), mixture);
    const x = tensor([[-1.2], [0.1], [1]], { backend });
    const { logLikelihood } = await odeLikelihood(path, path.model, x, { rtol: 1e-7, atol: 1e-7 });
    const [found, wanted] = await Promise.all([logLikelihood.data(), mixture.logDensity(x).data()]);
    for (const k of [0, 1, 2]) expect(found[k]).toBeCloseTo(wanted[k], 4);

    const on = oraclePath(flowPath({ times: [1, 1e-4], interpolant }), gaussian);
    const from = tensor([[-1], [2]], { backend });
    const ends = await (
      await finalSample(sampleFlow(on, on.model, [2, 1], randomStream(0), { from, rtol: 1e-8, atol: 1e-8 }))
    ).data();
    for (const [k, z] of [-1, 2].entries()) expect(ends[k]).toBeCloseTo(0.1 + 0.5 * z, 5);
    const back = encodeFlow(on, on.model, tensor([[0.1], [0.6]], { backend }), { rtol: 1e-8, atol: 1e-8 });
    const latent = await (await finalSample(back)).data();
    for (const [k, z] of [0, 1].entries()) expect(latent[k]).toBeCloseTo(z, 3);
  });

  test("inversion leads from data to noise and back, and inpainting keeps what is known", async () => {
    const path = oraclePath(flowPath({ steps: 40, interpolant }), mixture);
    const x = tensor([[-0.8], [1.1]], { backend });
    const inverted = await finalSample(
      sample(ddimInversion(path, { iterations: 20 }), path.model, [2, 1], randomStream(0), { from: { x } }),
    );
    const back = sample(euler(path), path.model, [2, 1], randomStream(0), { from: { x: inverted } });
    const found = await (await finalSample(back)).data();
    expect(found[0]).toBeCloseTo(-0.8, 5);
    expect(found[1]).toBeCloseTo(1.1, 5);

    const plane = mixtureOracle({
      means: [
        [-1, -1],
        [1, 1],
      ],
      variances: 0.01,
    });
    const on = oraclePath(flowPath({ steps: 40, interpolant }), plane);
    const image = tensor([[1, 0]], { backend });
    const painter = inpaint(euler(on), {
      image,
      keep: tensor([[1, 0]], { backend }),
      resample: { times: 5, length: 4 },
    });
    const drawn = await (await finalSample(sample(painter, on.model, [8, 2], randomStream(0), { backend }))).data();
    for (let i = 0; i < 8; i++) {
      expect(drawn[2 * i]).toBe(1);
      expect(drawn[2 * i + 1]).toBeGreaterThan(0.5);
    }
  });

  test("the reverse SDE with any g(t) has the data's marginals in the limit; without noise it is Euler's method", async () => {
    const of = (diffusion: (t: number) => number) => (steps: number) =>
      eulerMaruyama(oraclePath(flowPath({ steps, interpolant }), gaussian), { diffusion });
    for (const diffusion of [() => 1, (t: number) => 2 * Math.sqrt(t), (t: number) => 1 - t]) {
      const { runs } = await verifySampler(of(diffusion), gaussian, { steps: [50, 200] });
      expect(runs[1].error).toBeLessThan(runs[0].error / 2.5);
      expect(runs[1].error).toBeLessThan(0.01);
    }
    const path = oraclePath(flowPath({ steps: 5, interpolant: linearInterpolant() }), mixture);
    const end = async (sampler: ReturnType<typeof euler>) => {
      const from = { x: tensor([[0.3], [-2]], { backend }) };
      return (await finalSample(sample(sampler, path.model, [2, 1], randomStream(0), { from }))).data();
    };
    const wanted = await end(euler(path));
    for (const [i, value] of [...(await end(eulerMaruyama(path, { diffusion: () => 0 })))].entries())
      expect(value).toBeCloseTo(wanted[i], 5);
  });
});

test("an SDE's own g is free too, and a schedule's is not", async () => {
  const { runs } = await verifySampler(
    (steps) => eulerMaruyama(oraclePath(sdePath(vpSde(), { steps }), gaussian), { diffusion: (t) => 3 * t }),
    gaussian,
    { steps: [100, 400] },
  );
  expect(runs[1].error).toBeLessThan(runs[0].error / 2.5);
  expect(() => eulerMaruyama(flowPath(), { diffusion: () => Number.NaN })).toThrow(
    "eulerMaruyama: diffusion at t = 1 is NaN, want a finite number from 0 on",
  );
  expect(() => eulerMaruyama(flowPath(), { diffusion: 1 as never })).toThrow(
    "eulerMaruyama: diffusion is 1, want a function",
  );
});

test("what does not fit is refused by name", () => {
  expect(() => flowPath({ steps: 0 })).toThrow("flowPath: steps is 0, want a positive integer");
  expect(() => flowPath({ times: [0.5, 0] })).toThrow("flowPath: times has 0, want numbers in (0, 1]");
  expect(() => flowPath({ times: [0.5, 0.7] })).toThrow("flowPath: times[1] is 0.7 after 0.5, want falling numbers");
  expect(() => flowPath({ times: 5 as never })).toThrow("flowPath: times is 5, want a list of numbers");
  expect(() => flowPath({ shift: -1 })).toThrow("flowPath: shift is -1, want a positive number");
  expect(() => flowPath({ times: [1], shift: 2 })).toThrow("flowPath: both times and shift are given");
  expect(() => flowPath({ prediction: "mean" as never })).toThrow('flowPath: prediction is "mean"');
  expect(() => flowPath({ interpolant: 3 as never })).toThrow("flowPath: interpolant is 3, want an interpolant");
});
