// What plain JavaScript lets pass: an argument of the wrong kind is named, and no error comes from the depths.
import * as diffusion from "@pkg/diffusion";
import * as nn from "@pkg/nn";
import * as engine from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = engine.cpu();
const wrong: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  "a text": "x",
  "a promise": Promise.resolve(backend),
  "a schedule": diffusion.cosine(10),
  "a backend": backend,
  "an object": {},
};

/** What a function says of a wrong first argument; the others are right where they have to be there. */
async function fault(f: unknown, value: unknown): Promise<unknown> {
  try {
    await (f as (value: unknown, ...others: unknown[]) => unknown)(value, ...[undefined, undefined]);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** They take options alone, and open what they describe. */
const OPENERS = ["bestBackend", "cpu", "wasm", "webgpu"];

const isCalled = ([name, f]: readonly [string, unknown]) =>
  typeof f === "function" && /^[a-z]/.test(name) && !OPENERS.includes(name);

const all: readonly (readonly [string, unknown])[] = [...Object.entries(engine), ...Object.entries(nn)];

describe("in @pkg/tensor and @pkg/nn", () => {
  test.each(all.filter(isCalled))("%s", async (_, f) => {
    for (const [what, value] of Object.entries(wrong)) {
      const error = await fault(f, value);
      if (error instanceof TypeError || error instanceof ReferenceError) expect.fail(`${what}: ${error.stack}`);
    }
  });
});

test.each(OPENERS)("%s wants options that are an object", async (name) => {
  for (const value of [null, "x", 3]) {
    const error = await fault(new Map<string, unknown>(all).get(name), value);
    expect(String(error)).toContain(`${name}: options is ${JSON.stringify(value)}, want an object`);
  }
});

const schedule = diffusion.linear(10);
const sde = diffusion.vpSde();
const path = diffusion.sdePath(sde, { steps: 4 });
const sampler = diffusion.heun(path);
const model = { forward: (x: engine.Tensor) => x };
const oracle = diffusion.gaussianOracle({ mean: [0, 0], variance: 1 });
const rng = engine.randomStream(0);
const x = engine.zeros([2, 2], { backend });
const vectors = [
  [0, 1],
  [1, 0],
  [1, 1],
  [0, 0],
];
const normal = { mean: x, logVariance: x };

/** A value of every kind. */
const kinds: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  number: 3,
  text: "x",
  list: [1, 0],
  promise: Promise.resolve(x),
  object: {},
  function: () => x,
  tensor: x,
  schedule,
  path,
  sampler,
  model,
  oracle,
  stream: rng,
  backend,
};
const OBJECTS = ["object", "tensor", "schedule", "path", "sampler", "model", "oracle", "stream", "backend"];

/** Of each parameter, by its name, or by "function.name": a right value, and the kinds that are no error in its place. */
const parameters: Readonly<Record<string, readonly [valid: unknown, ...right: string[]]>> = {
  schedule: [schedule, "schedule"],
  "respacedModel.schedule": [diffusion.respace(schedule, [0, 5])],
  path: [path, "path"],
  sampler: [sampler, "sampler"],
  predictor: [sampler, "sampler"],
  model: [model, "model"],
  denoiser: [model, "model"],
  network: [model, "model"],
  strong: [model, "model"],
  weak: [model, "model"],
  solver: [diffusion.heun, "function"],
  sde: [sde],
  oracle: [oracle, "oracle"],
  rng: [rng, "stream"],
  ...Object.fromEntries(
    ["x", "x0", "a", "b", "noise", "images", "prediction", "output"].map((name) => [name, [x, "tensor"]]),
  ),
  ...Object.fromEntries(
    ["steps", "n", "sigma", "nats", "dimensions", "t", "smallest", "total", "beta", "gamma", "sigmaData"].map(
      (name) => [name, [3, "number"]],
    ),
  ),
  corruption: [diffusion.absorbing(3)],
  logits: [engine.zeros([2, 2, 3], { backend }), "tensor"],
  from: [engine.zeros([2], { backend }), "tensor"],
  "corrupt.keep": [engine.zeros([2], { backend }), "tensor"],
  "tokenPosterior.data": [engine.zeros([2, 2, 4], { backend }), "tensor"],
  "drawTokens.probabilities": [x, "tensor"],
  keeps: [[1, 0.5, 0], "list"],
  vocabulary: [3, "number"],
  ratio: [2, "number"],
  to: [2, "number"],
  largest: [5, "number"],
  probability: [0.5, "number"],
  ...Object.fromEntries(
    ["score", "trueScore", "energy", "field", "logProbability", "objective"].map((name) => [
      name,
      [(at: engine.Tensor) => at, "function"],
    ]),
  ),
  weight: [0.5, "number"],
  "convertWeight.weight": [() => 1, "function"],
  times: [[1, 0], "list"],
  labels: [[1, 0], "list"],
  shape: [[2, 2], "list"],
  sigmas: [[2, 1], "list"],
  betas: [[0.1, 0.2], "list"],
  values: [[0.9, 0.5], "list"],
  energies: [[0.9, 0.5], "list"],
  probes: [[x]],
  features: [vectors],
  probabilities: [vectors],
  real: [vectors],
  generated: [vectors],
  "frechetDistance.a": [diffusion.featureMoments(vectors)],
  "frechetDistance.b": [diffusion.featureMoments(vectors)],
  parts: [{ means: vectors, variances: 1 }],
  q: [normal],
  p: [normal],
  curve: [diffusion.linearGamma()],
  shift: [2, "number"],
  pixels: [4, "number"],
  base: [2, "number"],
  law: [diffusion.uniformLaw()],
  variance: [diffusion.fixedSmall()],
  level: [{ t: 1, signal: 0.5, noise: 0.5 }],
  levels: [schedule, "schedule", "function"],
  ...Object.fromEntries(
    ["oracleModel", "predictionTarget", "minSnrWeight", "snrWeight", "truncatedSnrWeight"].map((name) => [
      `${name}.prediction`,
      ["noise"],
    ]),
  ),
  known: [{ x0: x, x, times: [1, 0], data: x, noise: x }, ...OBJECTS],
  "eulerMaruyama.path": [path, "path"],
  state: [{ x, step: 1, memory: [x, x, x] }],
  run: [(async function* () {})()],
  bytes: [await diffusion.serializeSampleState({ x, step: 1, memory: [] }, rng)],
  backend: [backend, "backend"],
  options: [{}, ...OBJECTS],
  // It misses the range itself, whatever it gets in the place of its options.
  "analytic.options": [{ range: null }, ...Object.keys(kinds)],
  definition: [{ name: "mine", source: "here", order: 1, calls: 1, table: () => undefined }],
  samplerOf: [sampler, "sampler", "function"],
  "solverNamed.name": ["heun"],
  ...Object.fromEntries(["teacher", "student"].map((name) => [name, [model, "model"]])),
  ...Object.fromEntries(["update", "updates"].map((name) => [name, [3, "number"]])),
  "lcm.path": [diffusion.lcmPath(schedule, { steps: 2, originalSteps: 10 })],
  spacing: ["leading"],
  "variationalWeight.variance": ["fixedSmall"],
};

/** The names of a function's parameters; "{…}" for one that is taken apart before it can be looked at. */
function namesOf(f: (...given: never[]) => unknown): string[] {
  const names: string[] = [];
  let depth = 0;
  for (const [found] of f.toString().matchAll(/=>|[[({})\]]|,|[^[({})\],=]+|=/g)) {
    if ("([{".includes(found)) depth++;
    if (depth === 1 && names.length === 0) names.push("");
    else if (depth === 1 && found === ",") names.push("");
    else if (depth === 1 && /^[\w\s]+$/.test(found)) names[names.length - 1] ||= found.trim();
    else if (depth === 2 && found === "{") names[names.length - 1] ||= "{…}";
    if (")]}".includes(found) && --depth === 0) break;
  }
  return names.filter((name) => name !== "");
}

/** What a call throws, also later: promises are awaited, and of generators the first value. */
async function thrown(f: (...given: never[]) => unknown, given: readonly unknown[]): Promise<unknown> {
  try {
    const result: unknown = await f(...(given as never[]));
    if (typeof (result as { next?: unknown } | null)?.next === "function") await (result as AsyncGenerator).next();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** These find the wrong schedule when they read its tables. */
const READERS = ["gammaAt", "levelAt", "logSnrAt", "posterior", "posteriorLogVariance", "snrAt"];

describe("in @pkg/diffusion every argument of the wrong kind is named", () => {
  const functions = Object.entries(diffusion) as unknown as [string, (...given: never[]) => unknown][];
  const taken = functions.filter(([, f]) => typeof f === "function" && namesOf(f).length > 0);
  test.each(taken)("%s", async (name, f) => {
    const names = namesOf(f);
    expect(names.length, "parameters found").toBeGreaterThanOrEqual(f.length);
    const entries = names.map((parameter) => {
      const entry = parameters[`${name}.${parameter}`] ?? parameters[parameter];
      if (!entry) throw new Error(`${name}: no right value of ${parameter}, want one in the table of parameters`);
      return entry;
    });
    for (const [k, parameter] of names.entries()) {
      const [, ...right] = entries[k];
      for (const [kind, value] of Object.entries(kinds)) {
        if (right.includes(kind) || (k >= f.length && value === undefined)) continue;
        const given = entries.map(([valid], other) => (other === k ? value : valid));
        const error = await thrown(f, given);
        const said = `${name}(${names.map((other) => (other === parameter ? kind : other)).join(", ")})`;
        expect(error, said).toBeInstanceOf(Error);
        for (const kindOfError of [TypeError, ReferenceError, RangeError])
          expect(error, `${said}: ${(error as Error).stack}`).not.toBeInstanceOf(kindOfError);
        const named = READERS.includes(name) ? `(${name}|alphaBarAt|noiseVarianceAt)` : name;
        const wanted = right.includes("number") ? /^[a-z]\w*: / : new RegExp(`^${named}: ${parameter} is .*, want `);
        expect((error as Error).message, said).toMatch(wanted);
      }
    }
  });
});

test("of common slips errors tell the way out", () => {
  const of = (f: unknown, ...given: readonly unknown[]) => {
    try {
      (f as (...given: readonly unknown[]) => unknown)(...given);
    } catch (error) {
      return (error as Error).message;
    }
    return undefined;
  };
  const { heun, ddim, predictionLoss, startFrom, inpaint } = diffusion;
  expect(of(heun, schedule)).toBe("heun: path is a schedule, want a noise path: discretePath(schedule, { steps })");
  expect(of(heun, sde)).toBe("heun: path is an SDE, want a noise path: sdePath(sde, { steps })");
  expect(of(heun, diffusion.karras(18))).toBe("heun: path is a list of 18, want a noise path: sigmaPath(sigmas)");
  expect(of(diffusion.ancestral, path)).toBe(
    "ancestral: path is a noise path, want a path of a schedule's steps: discretePath(schedule, { steps })",
  );
  expect(of(predictionLoss, () => x, schedule, x, rng)).toBe(
    "predictionLoss: model is a function, want an object that has it as forward: { forward: (x, times) => … }",
  );
  expect(of(predictionLoss, model, schedule, [[1, 2]], rng)).toBe(
    "predictionLoss: x0 is a list of 1, want a tensor of it: tensor(values)",
  );
  expect(of(predictionLoss, model, schedule, Promise.resolve(x), rng)).toBe(
    "predictionLoss: x0 is a promise (await it), want a tensor",
  );
  expect(of(predictionLoss, model, schedule, x, 7)).toBe(
    "predictionLoss: rng is 7, want a random stream of it: randomStream(seed)",
  );
  expect(of(startFrom, path, x, rng, { strength: 0.5 })).toBe(
    "startFrom: sampler is a noise path, want a sampler on it, such as heun(path)",
  );
  expect(of(ddim, path, 20)).toBe("ddim: options is 20, want an object of options: { name: value }");
  expect(of(inpaint, sampler, { image: [[1]], keep: x })).toBe(
    "inpaint: image is a list of 1, want a tensor of it: tensor(values)",
  );
  const late = { forward: async () => x };
  expect(of(predictionLoss, late, schedule, x, rng)).toBe(
    "loss: the prediction is a promise (await it), want a tensor",
  );
});
