// Arguments of the wrong kind, which plain JavaScript lets pass: each is one error that names the argument and what was wanted.

import { Tensor, wrongArgument } from "@pkg/tensor";

/** What an argument may have to be. */
interface Kind {
  readonly is: (value: unknown) => boolean;
  readonly wanted: string;
  /** What to do with a value of another kind that people give in its place, by that kind's name. */
  readonly insteadOf?: Readonly<Record<string, string>>;
}

const LEVELS_OF_TIME = "(t) => ({ t, signal, noise })";

/** The kinds that have a name of their own, which errors call a value by. */
const NAMED = {
  schedule: {
    is: fields("alphaBars", "noiseVariances"),
    wanted: "a schedule, such as linear(1000)",
    insteadOf: { "noise path": "the schedule that the path was made of" },
  },
  "noise path": {
    is: (value) => fields("levels")(value) && methods("denoise")(value),
    wanted: "a noise path: discretePath(schedule), flowPath(), sigmaPath(sigmas) or sdePath(sde)",
    insteadOf: {
      schedule: "a noise path: discretePath(schedule, { steps })",
      list: "a noise path: sigmaPath(sigmas)",
      SDE: "a noise path: sdePath(sde, { steps })",
    },
  },
  sampler: {
    is: (value) => fields("levels")(value) && methods("step")(value),
    wanted: "a sampler, such as ddim(path) or heun(path)",
    insteadOf: {
      "noise path": "a sampler on it, such as heun(path)",
      schedule: "a sampler, such as ddim(discretePath(schedule, { steps }))",
    },
  },
  model: {
    is: methods("forward"),
    wanted: "a model, an object with forward(x, times), such as unet(…)",
    insteadOf: { function: "an object that has it as forward: { forward: (x, times) => … }" },
  },
  SDE: { is: methods("drift", "diffusion"), wanted: "an SDE: vpSde(), subVpSde() or veSde()" },
  oracle: {
    is: methods("score", "denoise", "predictNoise"),
    wanted: "an oracle, such as gaussianOracle(…) or mixtureOracle(…)",
  },
  "random stream": {
    is: methods("normal"),
    wanted: "a random stream, such as randomStream(0)",
    insteadOf: { number: "a random stream of it: randomStream(seed)" },
  },
} satisfies Record<string, Kind>;

const TENSOR: Kind = {
  is: (value) => value instanceof Tensor,
  wanted: "a tensor",
  insteadOf: { list: "a tensor of it: tensor(values)" },
};
const NUMBER: Kind = { is: (value) => typeof value === "number", wanted: "a number" };
const NUMBERS: Kind = { is: isList, wanted: "a list of numbers" };
const PER_SAMPLE: Kind = {
  is: (value) => isList(value) || value instanceof Tensor,
  wanted: "a list of numbers or a tensor, one per sample",
};
const FUNCTION: Kind = { is: (value) => typeof value === "function", wanted: "a function" };
const OPTIONS: Kind = {
  is: (value) => fields()(value) && !isList(value) && !fields("then")(value),
  wanted: "an object of options: { name: value }",
};
const VECTORS: Kind = {
  is: (value) => Array.isArray(value) && value.every(isList),
  wanted: "a list of vectors, one per sample",
};
const INTERPOLANT: Kind = {
  is: methods("level", "time"),
  wanted: "an interpolant: linearInterpolant() or vpInterpolant()",
};
const LEVEL: Kind = { is: fields("signal", "noise"), wanted: "a noise level: { t, signal, noise }" };
const STATE: Kind = { is: fields("memory", "step"), wanted: "a state that sample() yielded" };
const MOMENTS: Kind = {
  is: (value) => fields("mean", "covariance")(value) && VECTORS.is((value as { covariance: unknown }).covariance),
  wanted: "moments of features: featureMoments(features), or { mean, covariance }",
};

/** What each argument has to be, by its name: one name stands for one kind in the whole package. */
const KINDS = {
  schedule: NAMED.schedule,
  path: NAMED["noise path"],
  sampler: NAMED.sampler,
  predictor: NAMED.sampler,
  model: NAMED.model,
  strong: NAMED.model,
  weak: NAMED.model,
  denoiser: NAMED.model,
  network: NAMED.model,
  sde: NAMED.SDE,
  oracle: NAMED.oracle,
  rng: NAMED["random stream"],
  x: TENSOR,
  x0: TENSOR,
  a: TENSOR,
  b: TENSOR,
  data: TENSOR,
  noise: TENSOR,
  image: TENSOR,
  images: TENSOR,
  keep: TENSOR,
  prediction: TENSOR,
  output: TENSOR,
  nats: NUMBER,
  probability: NUMBER,
  times: PER_SAMPLE,
  labels: PER_SAMPLE,
  sigmas: NUMBERS,
  steps: NUMBERS,
  shape: NUMBERS,
  betas: NUMBERS,
  alphaBars: NUMBERS,
  energies: NUMBERS,
  score: FUNCTION,
  trueScore: FUNCTION,
  energy: FUNCTION,
  field: FUNCTION,
  logProbability: FUNCTION,
  logDensity: FUNCTION,
  objective: FUNCTION,
  weight: FUNCTION,
  definition: {
    is: (value) => fields("name", "source", "order", "calls")(value) && methods("table")(value),
    wanted: "a definition of a solver: { name, source, order, calls, table: (path, options) => (place) => step }",
  },
  samplerOf: {
    is: (value) => typeof value === "function" || NAMED.sampler.is(value),
    wanted: "a sampler, or a function of a number of steps: (steps) => heun(path(steps))",
  },
  corruption: {
    is: fields("vocabulary", "states", "stationary"),
    wanted: "a corruption: absorbing(n) or uniformCorruption(n)",
  },
  keeping: {
    is: methods("at", "of", "weight"),
    wanted: "what tells how fast categories are lost: linearKeeping() or cosineKeeping()",
  },
  logits: TENSOR,
  from: TENSOR,
  to: TENSOR,
  keeps: NUMBERS,
  interpolant: INTERPOLANT,
  law: { is: methods("draw", "density"), wanted: "a law of times, such as uniformLaw()" },
  solver: { is: (value) => typeof value === "function", wanted: "a solver: a function of a path, such as heun" },
  options: OPTIONS,
  known: OPTIONS,
  probes: {
    is: (value) => Array.isArray(value) && value.every(TENSOR.is),
    wanted: "a list of tensors, such as drawProbes(x, rng)",
  },
  features: VECTORS,
  probabilities: VECTORS,
  real: VECTORS,
  generated: VECTORS,
  first: MOMENTS,
  second: MOMENTS,
  mixture: {
    is: (value) => fields("means")(value) && VECTORS.is((value as { means: unknown }).means),
    wanted: "the parts of a mixture: { means: [[…], …], variances }",
  },
  q: { is: fields("mean", "logVariance"), wanted: "a normal distribution: { mean, logVariance }" },
  p: { is: fields("mean", "logVariance"), wanted: "a normal distribution: { mean, logVariance }" },
  curve: { is: methods("gamma", "slope"), wanted: "a curve { gamma, slope }, such as linearGamma()" },
  variance: { is: fields("isLearned"), wanted: "a variance, such as fixedSmall() or learnedRange()" },
  level: LEVEL,
  levels: {
    is: (value) => NAMED.schedule.is(value) || typeof value === "function",
    wanted: `a schedule, or what tells the level of a time: ${LEVELS_OF_TIME}`,
  },
  timedLevels: {
    is: (value) => NAMED.schedule.is(value) || typeof value === "function" || INTERPOLANT.is(value),
    wanted: `a schedule, an interpolant, or what tells the level of a time: ${LEVELS_OF_TIME}`,
  },
  state: STATE,
  run: {
    is: (value) => fields()(value) && Symbol.asyncIterator in (value as object),
    wanted: "a run: what sample(…) or sampleFlow(…) gave",
  },
  discretePath: {
    is: fields("schedule", "levels"),
    wanted: "a path of a schedule's steps: discretePath(schedule, { steps })",
    insteadOf: {
      schedule: "a path of its steps: discretePath(schedule, { steps })",
      "noise path": "a path of a schedule's steps: discretePath(schedule, { steps })",
    },
  },
  timedPath: {
    is: (value) => fields("times", "levels")(value) || fields("schedule", "levels")(value),
    wanted:
      "a path with times, or of a schedule's steps: sdePath(sde, { steps }), flowPath() or discretePath(schedule, { steps })",
  },
  sdePath: { is: fields("sde", "times", "levels"), wanted: "a path with an SDE: sdePath(sde, { steps })" },
  respaced: { is: fields("pairs"), wanted: "a respaced schedule: respace(schedule, times)" },
  savedStream: { is: methods("state"), wanted: "the random stream of the run, such as randomStream(0)" },
  backend: { is: methods("allocate", "download"), wanted: "a backend, such as cpu() or await wasm()" },
  bytes: { is: (value) => value instanceof Uint8Array, wanted: "the bytes that serializeSampleState gave" },
} satisfies Record<string, Kind>;

type ArgumentName = keyof typeof KINDS;

/**
 * @param given arguments by their names, which tell the kinds
 * @throws Error for the first that is of another kind: `heun: path is a schedule, want a noise path: discretePath(schedule, { steps })`
 */
export function expectArguments(name: string, given: Readonly<Partial<Record<ArgumentName, unknown>>>): void {
  for (const argument in given) expectKind(name, argument as ArgumentName, given[argument as ArgumentName]);
}

/** The same of one argument. @param called its name in errors, where that tells another kind */
export function expectKind(name: string, kind: ArgumentName, value: unknown, called: string = kind): void {
  const { is, wanted, insteadOf }: Kind = KINDS[kind];
  if (is(value)) return;
  const found = Object.entries<Kind>(NAMED).find(([, named]) => named.is(value))?.[0];
  const want = insteadOf?.[found ?? (isList(value) ? "list" : typeof value)] ?? wanted;
  if (!found) throw wrongArgument(name, called, value, want);
  throw new Error(`${name}: ${called} is ${found === "SDE" ? "an" : "a"} ${found}, want ${want}`);
}

function fields(...names: readonly string[]): (value: unknown) => boolean {
  return (value) => typeof value === "object" && value !== null && names.every((name) => name in value);
}

function methods(...names: readonly string[]): (value: unknown) => boolean {
  return (value) =>
    names.every((name) => typeof (value as Record<string, unknown> | null | undefined)?.[name] === "function");
}

function isList(value: unknown): boolean {
  return Array.isArray(value) || ArrayBuffer.isView(value);
}
