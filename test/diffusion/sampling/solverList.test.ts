// What holds of every solver in the list, with its default options and its variants: nothing here names one.
import * as diffusion from "@pkg/diffusion";
import {
  cosine,
  defineSolver,
  discretePath,
  finalSample,
  finalState,
  gaussianOracle,
  linear,
  type Model,
  type NoisePath,
  oraclePath,
  parseSampleState,
  type Sampler,
  type SolverStep,
  sample,
  serializeSampleState,
  sigmaPath,
  solverNamed,
  solvers,
} from "@pkg/diffusion";
import { mlp } from "@pkg/nn";
import { type Backend, cpu, randomStream, type Tensor, tensor, type WebgpuBackend, webgpu } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { plainly } from "../../setup/plainly.ts";
import { flowError, type Part, varianceBias } from "./knownFlow.ts";
import { solverCases } from "./solverCases.ts";

const exact = cpu({ precision: "float64" });
const STEPS = 12;
const path = discretePath(cosine(100), { steps: STEPS, clip: true });

const ofTheFlow = solverCases.filter(({ isNoisy }) => !isNoisy);
const noisy = solverCases.filter(({ isNoisy }) => isNoisy);
const gaussian: readonly Part[] = [{ weight: 1, mean: 0.7, variance: 0.25 }];
const mixture: readonly Part[] = [
  { weight: 0.3, mean: -1, variance: 0.16 },
  { weight: 0.7, mean: 1, variance: 0.16 },
];

/** log₂ of how much smaller an error is with twice the steps. */
async function observed(error: (steps: number) => Promise<number>): Promise<number> {
  return Math.log2((await error(160)) / (await error(320)));
}

describe("the order is the declared one", () => {
  const expectOrder = (found: number, order: number) => {
    expect(found).toBeGreaterThan(order - 0.15);
    expect(found).toBeLessThan(order + 0.15);
  };

  // It may be higher there: errors of the midpoint rule in σ cancel on a Gaussian, and it is of order 3.
  test.each(ofTheFlow)("on a Gaussian, at least: $name, $order", async ({ of, order }) => {
    expect(await observed((steps) => flowError(of, gaussian, steps))).toBeGreaterThan(order - 0.15);
  });

  test.each(ofTheFlow)("on a mixture: $name, $order", async ({ of, order }) => {
    expectOrder(await observed((steps) => flowError(of, mixture, steps)), order);
  });

  test.each(noisy)("in the variance of a Gaussian: $name, $order", async ({ of, order }) => {
    expectOrder(await observed((steps) => varianceBias(of, 0.25, steps)), order);
  });
});

describe.each(solverCases)("$name", ({ of, calls, step }) => {
  test("asks the model as often as it says, once earlier estimates are there", async () => {
    let asked = 0;
    const model: Model = { forward: (x) => x.mul(0.1 * Math.sin(++asked)) };
    const counts: number[] = [];
    for await (const _ of sample(of(path), model, [2, 2], randomStream(1), { backend: exact })) counts.push(asked);
    expect(counts[6] - counts[5]).toBe(calls);
  });

  test.each([
    ["linear", linear(1000)],
    ["cosine", cosine(1000)],
  ])("a run of one step and one of two end at the data, which are one point, on %s", async (_, schedule) => {
    const ends = async (steps: number, deviation: number) => {
      const point = gaussianOracle({ mean: [0.6], variance: deviation ** 2 });
      const path = oraclePath(discretePath(schedule, { steps }), point);
      const run = sample(of(path), path.model, [5, 1], randomStream(2), { backend: exact });
      return Math.max(...(await (await finalSample(run)).data()).map((x) => Math.abs(x - 0.6)));
    };
    // Less noise than the data's width, as at step 0, says where the data are: a run that began there would end where it began.
    expect(await ends(1, 0.1)).toBeLessThan(1e-3);
    // The point itself, since large steps of Runge and Kutta's or of an SDE lead far astray, and the last estimate back.
    expect(await ends(2, 1e-6)).toBeLessThan(1e-3);
  });

  test.skipIf(!gpuAvailable)("a step dispatches a row each, and a conversion and a check for each call", async () => {
    const backend = await webgpu();
    const free: Model = { forward: (x) => x }; // a network that costs nothing
    const after: number[] = [];
    for await (const { step } of sample(of(discretePath(linear(12))), free, [2, 4], randomStream(0), { backend }))
      after[step] = backend.counters().dispatches;
    const rows = Object.values(step(discretePath(linear(12)), 6).rows).filter((row) => typeof row === "object");
    const asks = rows.filter((row) => "ask" in row);
    const scores = asks.filter(({ reads }) => reads === "score");
    // ε̂ is what the model predicts here. The counts of all calls are added up in one more dispatch.
    expect(after[7] - after[6]).toBe(rows.length + asks.length + scores.length + 1);
    backend.dispose();
  });
});

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    const network = () => mlp({ sizes: [2, 16, 2], timeChannels: 8 }, { backend, rng: randomStream(1) });
    const replays = () => ("counters" in backend ? (backend as WebgpuBackend).counters().replays : 0);

    /** x, the estimate and the memory after each step, and where the stream stands at the end. */
    const statesOf = (sampler: Sampler, captured: boolean) =>
      captured ? statesOfRun(sampler) : plainly(backend, () => statesOfRun(sampler));
    const statesOfRun = async (sampler: Sampler) => {
      const rng = randomStream(4);
      const states: number[][][] = [];
      for await (const { x, denoised, memory } of sample(sampler, network(), [3, 2], rng, { backend }))
        states.push(await Promise.all([x, denoised, ...memory].map(async (value) => [...(await value.data())])));
      return { states, rng: rng.state() };
    };

    test.each(solverCases)("captured steps have the bits of plain ones: $name", async ({ of }) => {
      const plain = await statesOf(of(path), false);
      const before = replays();
      expect(await statesOf(of(path), true)).toEqual(plain);
      if (name === "webgpu") expect(replays()).toBeGreaterThan(before);
      expect(new Set(plain.states.map(([x]) => `${x}`)).size).toBe(STEPS);
    });

    test.each(solverCases)("a run stopped after any step, saved and resumed, is whole: $name", async ({ of }) => {
      const sampler = of(path);
      const whole = (await statesOf(sampler, false)).states.at(-1)?.[0];
      for (const until of [1, 2, 3, 4, 7, STEPS - 1]) {
        const rng = randomStream(4);
        const stopped = await finalState(sample(sampler, network(), [3, 2], rng, { backend, until }));
        expect(stopped.step).toBe(until);
        const { state, rng: saved } = parseSampleState(await serializeSampleState(stopped, rng), backend);
        const later = randomStream(0);
        later.restore(saved);
        const rest = await finalSample(sample(sampler, network(), [3, 2], later, { from: state }));
        expect([...(await rest.data())]).toEqual(whole);
      }
    });
  });
}

test("a solver is found by the name that it is exported by; another name is refused with the list", () => {
  expect(solvers.length).toBeGreaterThan(15);
  for (const solver of solvers) {
    expect(solverNamed(solver.name)).toBe(solver);
    expect((diffusion as unknown as Record<string, unknown>)[solver.name]).toBe(solver);
    expect(solver.source).toMatch(/\w/);
  }
  const names = solvers.map(({ name }) => name);
  const listed = `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
  expect(() => solverNamed("nonsense")).toThrow(`solverNamed: name is "nonsense", want ${listed}`);
});

describe("a table is checked when it is made", () => {
  const made = (step: (remembered: number) => SolverStep) => () =>
    defineSolver({
      name: "mine",
      source: "here",
      order: 1,
      calls: 1,
      table: (_: NoisePath) => (place) => step(place.remembered),
    })(sigmaPath([2, 1]));
  const data = { ask: "x", at: { t: 2, signal: 1, noise: 2 } } as const;

  test("a quantity that was not kept is refused by name", () => {
    expect(made(() => ({ rows: { data, next: { sum: { x: 0.5, "memory[0]": 0.5 } } } }))).toThrow(
      "mine: step 0: row next takes memory[0], want one of x, data",
    );
    const keepsOnce = (remembered: number): SolverStep => ({
      rows: { data, next: { sum: remembered > 0 ? { "memory[1]": 1 } : { data: 1 } } },
      keep: ["data"],
    });
    expect(made(keepsOnce)).toThrow("mine: step 1: row next takes memory[1], want one of x, memory[0], data");
    expect(made(() => ({ rows: { data, next: "data" }, keep: ["noise"] }))).toThrow(
      "mine: step 0: keeps noise, want one of x, data, next",
    );
    expect(made(() => ({ rows: { data: { ask: "y", at: data.at }, next: "data" } }))).toThrow(
      "mine: step 0: row data takes y, want one of x",
    );
    expect(made(() => ({ rows: { data, next: { sum: { "data.noise": 1 } } } }))).toThrow("takes data.noise");
  });

  test("a weight that is no number, a sum of nothing, a name twice and a missing row are refused", () => {
    const next = (sum: Readonly<Record<string, number>>) => made(() => ({ rows: { data, next: { sum } } }));
    expect(next({ x: Number.NaN })).toThrow("mine: step 0: row next weighs x by NaN, want a finite number");
    expect(next({})).toThrow("mine: step 0: row next is a sum of nothing");
    expect(made(() => ({ rows: { data, x: "data", next: "x" } }))).toThrow("mine: step 0: row x is there already");
    expect(made(() => ({ rows: { data } as never }))).toThrow("mine: step 0: no row next");
  });

  test("what is no table, no step and no row is refused", () => {
    const define = (table: unknown, declared: object = {}) =>
      defineSolver({ name: "mine", source: "here", order: 1, calls: 1, table: () => table as never, ...declared });
    expect(() => define(undefined)(sigmaPath([2, 1]))).toThrow("mine: table is undefined, want a function");
    expect(made(() => undefined as never)).toThrow("mine: step 0: rows is undefined, want an object");
    expect(made(() => ({ rows: { data, next: "x" }, keep: "data" as never }))).toThrow("mine: step 0: keep is");
    const odd = [
      3,
      null,
      { summ: { x: 1 } },
      { sum: 1 },
      { draw: "uniform" },
      { ask: "x" },
      { ...data, reads: "nosie" },
    ];
    for (const row of odd)
      expect(made(() => ({ rows: { data, next: row as never } }))).toThrow(
        `mine: step 0: row next is ${JSON.stringify(row)}, want { ask, at }`,
      );
    expect(() => define(undefined, { order: Number.NaN })).toThrow("mine: order is NaN, want a positive number");
    expect(() => define(undefined, { calls: 0.5 })).toThrow("mine: calls is 0.5, want a positive integer");
    const variants = { half: { options: {}, order: 0 } };
    expect(() => define(undefined, { variants })).toThrow("mine: order is 0, want a positive number");
  });

  test("a term of weight 0 is left out, so that what is infinite there does no harm", async () => {
    const sampler = made(() => ({ rows: { data, next: { sum: { x: 0, data: 1 } } } }))();
    const x = tensor([Number.POSITIVE_INFINITY], { backend: exact });
    const model: Model = { forward: (y: Tensor) => tensor([0.5], { backend: y.backend }) };
    const end = await finalSample(sample(sampler, model, [1], randomStream(0), { from: { x } }));
    expect(await end.item()).toBe(0.5);
  });
});
