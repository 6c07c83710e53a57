// Which solvers are the same, what they do at ends and edges, and how their runs go on.
import {
  type Churn,
  type DiscretePath,
  ddim,
  ddimInversion,
  deis,
  discretePath,
  dpm2,
  dpm2Ancestral,
  dpmSolver,
  dpmSolverPlusPlus,
  euler,
  eulerAncestral,
  finalSample,
  fromBetas,
  heun,
  karras,
  linear,
  lms,
  type Model,
  type NoisePath,
  type Sampler,
  sample,
  sigmaOf,
  sigmaPath,
  uniPc,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { pathOfSigmas } from "./knownFlow.ts";
import { solverCases } from "./solverCases.ts";

const backend = cpu({ precision: "float64" });
const schedule = linear(1000);

const cases: readonly (readonly [string, (path: DiscretePath) => Sampler])[] = [
  ...solverCases.map(({ name, of }) => [name, of] as const),
  ["deis of order 4", (path) => deis(path, { order: 4 })],
  ["uniPc of order 3 without corrector", (path) => uniPc(path, { order: 3, corrector: false })],
];

/** A model that is not linear, so that solvers differ, and whose output stays small. */
const bent: Model = { forward: (x, [t]: readonly number[]) => x.mul(1.3).tanh().mul(0.9).add(Math.sin(t)) };

const start = () => tensor([0.3, -1.2, 2, 0.7], { backend, shape: [2, 2] });

async function run(sampler: Sampler, model = bent, x = start()): Promise<number[]> {
  return [...(await (await finalSample(sample(sampler, model, x.shape, randomStream(3), { from: { x } }))).data())];
}

async function expectSame(a: Sampler, b: Sampler): Promise<void> {
  const [first, second] = [await run(a), await run(b)];
  for (const [i, value] of first.entries()) expect(value).toBeCloseTo(second[i], 11);
}

describe.each(cases)("%s", (_, solver) => {
  test("takes a single step straight to the estimate of the data", async () => {
    const single = solver(discretePath(schedule, { times: [999], prediction: "data" }));
    for await (const { x, denoised } of sample(single, bent, [2, 2], randomStream(3), { from: { x: start() } })) {
      const wanted = await denoised.data();
      for (const [i, value] of [...(await x.data())].entries()) expect(value).toBeCloseTo(wanted[i], 12);
    }
  });

  test("ends at the last estimate that is sure: data that are one point are found from anywhere", async () => {
    const paths = [
      pathOfSigmas([80, 79.9, 3, 2.99999, 0.5, 1e-3], { prediction: "data" }),
      pathOfSigmas(karras(8, { min: 0.02, max: 100 }), { prediction: "data" }),
      discretePath(schedule, { times: [999, 2, 1], prediction: "data" }),
      discretePath(linear(5), { prediction: "data" }),
    ];
    const point: Model = { forward: (x) => x.mul(0).add(0.6) };
    for (const path of paths) for (const value of await run(solver(path), point)) expect(value).toBeCloseTo(0.6, 9);
  });

  test("stays finite when all thousand steps are visited, and when the path ends before the data", async () => {
    const first = { end: "first step" } as const;
    const paths = [
      discretePath(schedule),
      discretePath(schedule, { steps: 5, ...first }),
      discretePath(schedule, { times: [999, 700, 699, 20], ...first }),
      discretePath(schedule, { times: [999], ...first }),
    ];
    for (const path of paths) expect((await run(solver(path))).every(Number.isFinite)).toBe(true);
  });

  test("visits every step of a schedule without a signal at its end, or at two of them", async () => {
    // The linear schedule's σ at the step before the last is 15406, above the 4096 that stand for ∞.
    for (const silent of [zeroTerminalSnr(schedule), fromBetas([0.1, 0.5, 1, 1])]) {
      const path = discretePath(silent, { prediction: "velocity" });
      expect((await run(solver(path), { forward: (x) => x.mul(-0.5) })).every(Number.isFinite)).toBe(true);
    }
  });

  test("starts where there is no signal when the model predicts velocity", async () => {
    // Data that are 0.6, of which the model at the last step, σ = 4096 instead of ∞, knows all but 2⁻¹² x.
    const silent = zeroTerminalSnr(linear(700));
    const path = discretePath(silent, { steps: 28, spacing: "trailing", prediction: "velocity" });
    const logs = discretePath(silent)
      .levels.slice(0, -1)
      .map((level) => Math.log(sigmaOf(level)))
      .reverse();
    const point: Model = {
      forward(x, [t]: readonly number[]) {
        const low = Math.min(Math.floor(t), 698);
        const { signal, noise } = path.at(Math.exp(logs[low] + (t - low) * (logs[low + 1] - logs[low])));
        return x.mul(signal / noise).add(-0.6 * (signal ** 2 / noise + noise));
      },
    };
    expect(path.levels[0].t).toBe(699);
    for (const value of await run(solver(path), point)) expect(Math.abs(value - 0.6)).toBeLessThan(1e-9);
  });
});

describe("the same under two names:", () => {
  const path = discretePath(schedule, { steps: 12 });
  const whole = { lowerOrderFinal: false };

  test("order 1 is Euler's method, and so is DDIM", async () => {
    const plain = euler(path);
    await expectSame(lms(path, { order: 1 }), plain);
    await expectSame(deis(path, { order: 1 }), plain);
    await expectSame(deis(path, { order: 1, over: "log sigma" }), plain);
    await expectSame(dpmSolver(path, { order: 1 }), plain);
    await expectSame(dpmSolver(path, { order: 1, of: "data" }), plain);
    await expectSame(dpmSolverPlusPlus(path, { order: 1 }), plain);
    await expectSame(uniPc(path, { order: 1, corrector: false }), plain);
    await expectSame(ddim(discretePath(schedule, { steps: 12 })), plain);
  });

  test("DPM2 is DPM-Solver-2", () => expectSame(dpm2(path), dpmSolver(path, { order: 2 })));

  test("UniP-2 with B₂ is DPM-Solver++(2M), and UniP-3 is DPM-Solver++(3M)", async () => {
    await expectSame(uniPc(path, { corrector: false }), dpmSolverPlusPlus(path));
    await expectSame(
      uniPc(path, { order: 3, corrector: false, form: "bh2" }),
      dpmSolverPlusPlus(path, { order: 3, form: "midpoint" }),
    );
  });

  test("DEIS in a time that is σ is LMS, and in one that is log σ it is that of log σ", async () => {
    const sigmas = karras(9);
    // The step to the data is of order 1 in DEIS only.
    const open = (path: NoisePath): NoisePath => ({ ...path, levels: path.levels.slice(0, -1) });
    const linearTime = open(sigmaPath(sigmas));
    await expectSame(deis(linearTime, { order: 4, ...whole }), lms(linearTime));
    const logarithmic = open(sigmaPath(sigmas, { label: Math.log }));
    await expectSame(
      deis(logarithmic, { order: 4, ...whole }),
      deis(logarithmic, { order: 4, over: "log sigma", ...whole }),
    );
  });

  test.each([0, 0.4, 1])("Euler-ancestral is DDIM with the same eta, %d", (eta) =>
    expectSame(eulerAncestral(path, { eta }), ddim(discretePath(schedule, { steps: 12 }), { eta })),
  );

  test("SDE-DPM-Solver++(1) is ancestral sampling, on either scale", async () => {
    for (const each of [path, sigmaPath(karras(9))])
      await expectSame(dpmSolverPlusPlus(each, { order: 1, eta: 1 }), eulerAncestral(each));
  });

  test("DDIM that derives ε̂ again from a clipped estimate is Euler's method with that clip, and not DDIM's own", async () => {
    const clip = true;
    const own = await run(ddim(discretePath(schedule, { steps: 12, clip }), { rederiveNoise: false }));
    const again = ddim(discretePath(schedule, { steps: 12, clip }));
    await expectSame(again, euler(discretePath(schedule, { steps: 12, clip })));
    expect(Math.max(...(await run(again)).map((value, i) => Math.abs(value - own[i])))).toBeGreaterThan(1e-3);
  });
});

describe.each([1e-5, 0.01, 0.9, 1.1, 4])("a step of h = %d between uneven ones is exact", (h) => {
  /** 1 − 2λ + λ²/2 + c λ³ and its derivatives. */
  const polynomial = (cubic: number) => (lambda: number) => [
    1 - 2 * lambda + lambda ** 2 / 2 + cubic * lambda ** 3,
    -2 + lambda + 3 * cubic * lambda ** 2,
    1 + 6 * cubic * lambda,
    6 * cubic,
  ];
  const lambdas = [0, 1, 2.3, 3.1, 4.1].map((place) => 0.4 + h * place);
  const ends = lambdas.slice(3);

  /** What the step from lambdas[3] makes of x = 0 at signal 1, given what was estimated before it. */
  async function lastStep(
    solver: (path: NoisePath) => Sampler,
    prediction: "data" | "noise",
    of: (lambda: number) => readonly number[],
    memory: readonly number[],
  ): Promise<number> {
    const whole = sigmaPath(
      lambdas.map((lambda) => Math.exp(-lambda)),
      { prediction, label: (sigma) => -Math.log(sigma) },
    );
    const path = { ...whole, levels: whole.levels.slice(0, -1) };
    const model: Model = { forward: (x, [t]: readonly number[]) => x.mul(0).add(of(t)[0]) };
    const one = (value: number) => tensor([value], { backend });
    const from = { x: one(0), step: 3, memory: memory.map(one) };
    return (await finalSample(sample(solver(path), model, [1], randomStream(0), { from }))).item();
  }

  test("for x̂₀ that is a parabola in λ: DPM-Solver++(3M) and UniP-3", async () => {
    const of = polynomial(0);
    // ∫ e^λ p dλ = e^λ (p − p′ + p″)
    const [start, end] = ends.map((lambda) => {
      const [p, first, second] = of(lambda);
      return Math.exp(lambda) * (p - first + second);
    });
    const wanted = Math.exp(-ends[1]) * (end - start);
    const earlier = [lambdas[2], lambdas[1]].map((lambda) => of(lambda)[0]);
    const full = { order: 3, lowerOrderFinal: false };
    const multistep = await lastStep((path) => dpmSolverPlusPlus(path, full), "data", of, earlier);
    expect(multistep / wanted).toBeCloseTo(1, 8);
    const predictor = (path: NoisePath) => uniPc(path, { ...full, corrector: false });
    expect((await lastStep(predictor, "data", of, [0, ...earlier])) / wanted).toBeCloseTo(1, 8);
  });

  test("for ε̂ that is a cubic in λ: DEIS of order 4 over log σ", async () => {
    const of = polynomial(0.3);
    // ∫ p de^−λ = e^−λ (p + p′ + p″ + p‴)
    const [start, end] = ends.map((lambda) => Math.exp(-lambda) * of(lambda).reduce((a, b) => a + b));
    const earlier = [lambdas[2], lambdas[1], lambdas[0]].map((lambda) => of(lambda)[0]);
    const solver = (path: NoisePath) => deis(path, { order: 4, over: "log sigma", lowerOrderFinal: false });
    expect((await lastStep(solver, "noise", of, earlier)) / (end - start)).toBeCloseTo(1, 8);
  });
});

test("LMS on even steps has the coefficients of Adams and Bashforth", async () => {
  // The last of four steps, with ε̂ = t: x − x′ = Σ c_j t_j for σ from 1 to 0, σ being even.
  const path = sigmaPath([4, 3, 2, 1], { prediction: "noise", label: (sigma) => sigma ** 5 });
  const time: Model = { forward: (x, [t]: readonly number[]) => x.mul(0).add(t) };
  const states: number[] = [];
  for await (const { x } of sample(lms(path), time, [1], randomStream(0), { from: { x: tensor([0], { backend }) } }))
    states.push(await x.item());
  const wanted = (55 * 1 - 59 * 2 ** 5 + 37 * 3 ** 5 - 9 * 4 ** 5) / 24;
  expect(states[2] - states[3]).toBeCloseTo(wanted, 9);
});

test("churn changes a run only between its bounds, and its scale only the noise", async () => {
  const path = sigmaPath(karras(6));
  for (const solver of [euler, heun, dpm2] as readonly ((path: NoisePath, churn?: Churn) => Sampler)[]) {
    const plain = await run(solver(path));
    expect(await run(solver(path, { churn: 3, from: 100 }))).toEqual(plain);
    expect(await run(solver(path, { churn: 3, to: 1e-4 }))).toEqual(plain);
    expect(await run(solver(path, { churn: 3 }))).not.toEqual(plain);
    expect(await run(solver(path, { churn: 3, scale: 0 }))).not.toEqual(await run(solver(path, { churn: 3 })));
  }
});

test("scale 0 leaves ancestral steps and the SDE's without noise, though not without its room", async () => {
  const silent = { normal: () => start().mul(Number.NaN) };
  for (const sampler of [
    eulerAncestral(sigmaPath(karras(5)), { scale: 0 }),
    dpm2Ancestral(sigmaPath(karras(5)), { scale: 0 }),
    dpmSolverPlusPlus(sigmaPath(karras(5)), { eta: 1, scale: 0 }),
  ]) {
    const x = await finalSample(sample(sampler, bent, [2, 2], silent, { from: { x: start() } }));
    expect([...(await x.data())].every(Number.isFinite)).toBe(true);
  }
});

test("a step depends on nothing but its arguments: two runs may take turns", async () => {
  const sampler = uniPc(discretePath(schedule, { steps: 6 }), { order: 3 });
  const others = tensor([5, 5, 5, 5], { backend, shape: [2, 2] });
  const [a, b] = [start(), others].map((x) =>
    sample(sampler, bent, [2, 2], randomStream(3), { from: { x } })[Symbol.asyncIterator](),
  );
  const ends: number[][] = [[], []];
  for (let step = 0; step < 6; step++) {
    for (const [i, each] of [a, b].entries()) {
      const { value } = await each.next();
      if (value) ends[i] = [...(await value.x.data())];
    }
  }
  expect(ends).toEqual([await run(sampler), await run(sampler, bent, others)]);
});

test("inversion needs data to start from", async () => {
  const path = discretePath(schedule, { steps: 10 });
  const run = sample(ddimInversion(path), bent, [2], randomStream(0), { backend });
  await expect(finalSample(run)).rejects.toThrow("sample: the sampler starts from data, want it as from.x");
});

test("bad options are refused, naming the option and its value", () => {
  const path = sigmaPath(karras(5));
  expect(() => lms(path, { order: 5 })).toThrow("lms: order is 5, want an integer in [1, 4]");
  expect(() => deis(path, { order: 0 })).toThrow("deis: order is 0, want an integer in [1, 4]");
  expect(() => dpmSolver(path, { order: 4 })).toThrow("dpmSolver: order is 4, want an integer in [1, 3]");
  expect(() => dpmSolverPlusPlus(path, { order: 1.5 })).toThrow(
    "dpmSolverPlusPlus: order is 1.5, want an integer in [1, 3]",
  );
  expect(() => uniPc(path, { order: 4 })).toThrow("uniPc: order is 4, want an integer in [1, 3]");
  expect(() => dpmSolverPlusPlus(path, { eta: -0.1 })).toThrow(
    "dpmSolverPlusPlus: eta is -0.1, want a number from 0 on",
  );
  expect(() => dpmSolverPlusPlus(path, { scale: Number.NaN })).toThrow("dpmSolverPlusPlus: scale is NaN");
  expect(() => eulerAncestral(path, { eta: -1 })).toThrow("eulerAncestral: eta is -1, want a number in [0, 1]");
  expect(() => dpm2Ancestral(path, { eta: 1.1 })).toThrow("dpm2Ancestral: eta is 1.1, want a number in [0, 1]");
  expect(() => eulerAncestral(path, { scale: -1 })).toThrow("eulerAncestral: scale is -1, want a number from 0 on");
  expect(() => heun(path, { churn: -1 })).toThrow("heun: churn is -1, want a number from 0 on");
  expect(() => dpm2(path, { to: -1 })).toThrow("dpm2: to is -1, want a number from 0 on");
  expect(() => ddimInversion(path, { iterations: 0 })).toThrow(
    "ddimInversion: iterations is 0, want a positive integer",
  );
  expect(() => discretePath(schedule, { times: [0], end: "first step" })).toThrow(
    "discretePath: from the first step to itself, want a step above it",
  );
  expect(() => discretePath(schedule, { sigmas: [1, 1e-4], end: "first step" })).toThrow(
    "discretePath: σ falls to 0.0001, want at least the first step's",
  );
});
