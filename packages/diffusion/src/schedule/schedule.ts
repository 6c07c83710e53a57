// Discrete noise schedules: what one is, and how its tables follow from β or ᾱ and are read. schedules.ts makes the known ones.

import { expectArguments, expectKind } from "../arguments.ts";
import { expectWord } from "../optionWords.ts";

/**
 * A variance-preserving diffusion in discrete time: q(x_t | x_{t−1}) = N(√α_t x_{t−1}, β_t I).
 * Tables are indexed from 0, as code does: entry t is step t + 1 of the papers, and ᾱ before entry 0 is 1.
 */
export interface Schedule {
  /** T, the number of steps. */
  readonly steps: number;
  /** β_t, in (0, 1]. */
  readonly betas: Float64Array;
  /** ᾱ_t = Π_{s ≤ t} (1 − β_s), falling, in [0, 1). */
  readonly alphaBars: Float64Array;
  /** 1 − ᾱ_t, summed on its own where ᾱ_t is near 1 and the difference would lose digits. */
  readonly noiseVariances: Float64Array;
}

/** How the tables of a schedule are computed. */
export interface TableOptions {
  /**
   * How tables are rounded. Default "float64". "float32" rounds as PyTorch does, 1 − β and ᾱ (multiplied up in double precision) and
   * 1 − ᾱ each to float32: for results that were published with such tables.
   */
  readonly precision?: "float64" | "float32";
}

/**
 * A schedule by its β.
 * @throws Error naming the first β that is not in (0, 1], or whose noise float32 cannot hold
 */
export function fromBetas(betas: ArrayLike<number>, options: TableOptions = {}): Schedule {
  expectArguments("fromBetas", { betas, options });
  const { precision = "float64" } = options;
  checkSteps("fromBetas", betas.length);
  expectWord("schedule", "precision", precision, ["float64", "float32"]);
  const table = Float64Array.from(betas);
  const wrong = table.findIndex((beta) => !(beta > 0 && beta <= 1));
  if (wrong !== -1) throw new Error(`schedule: β_${wrong} is ${table[wrong]}, want numbers in (0, 1]`);
  return precision === "float32" ? float32Tables(table) : float64Tables(table);
}

/**
 * A schedule by its ᾱ, which are kept as they are; 1 − ᾱ has the digits that the difference leaves.
 * @throws Error naming the first ᾱ that is not in [0, 1) and below the one before
 */
export function fromAlphaBars(values: ArrayLike<number>): Schedule {
  expectKind("fromAlphaBars", "alphaBars", values, "values");
  checkSteps("fromAlphaBars", values.length);
  const alphaBars = Float64Array.from(values);
  const before = (t: number): number => (t === 0 ? 1 : alphaBars[t - 1]);
  const wrong = alphaBars.findIndex((alphaBar, t) => !(alphaBar >= 0 && alphaBar < before(t)));
  if (wrong !== -1) {
    throw new Error(
      `schedule: ᾱ_${wrong} is ${alphaBars[wrong]} after ${before(wrong)}, want falling numbers in [0, 1)`,
    );
  }
  return {
    steps: alphaBars.length,
    betas: alphaBars.map((alphaBar, t) => (before(t) - alphaBar) / before(t)),
    alphaBars,
    noiseVariances: alphaBars.map((alphaBar) => 1 - alphaBar),
  };
}

/** ᾱ_t, with 1 before the first step (t = −1). @throws Error when t is no step of the schedule */
export function alphaBarAt(schedule: Schedule, t: number): number {
  return t === -1 ? 1 : tableOf("alphaBarAt", schedule, "alphaBars")[checkTime(schedule, t)];
}

/** 1 − ᾱ_t, with 0 before the first step (t = −1). @throws Error when t is no step of the schedule */
export function noiseVarianceAt(schedule: Schedule, t: number): number {
  return t === -1 ? 0 : tableOf("noiseVarianceAt", schedule, "noiseVariances")[checkTime(schedule, t)];
}

/** ᾱ_t / (1 − ᾱ_t), the ratio of signal to noise; infinite before the first step, 0 where there is no signal. */
export function snrAt(schedule: Schedule, t: number): number {
  return alphaBarAt(schedule, t) / noiseVarianceAt(schedule, t);
}

/** log(ᾱ_t / (1 − ᾱ_t)); +∞ before the first step, −∞ where there is no signal (ᾱ = 0). */
export function logSnrAt(schedule: Schedule, t: number): number {
  return Math.log(alphaBarAt(schedule, t)) - Math.log(noiseVarianceAt(schedule, t));
}

/** γ_t = −log SNR, which rises with t (Kingma et al. 2021, eq. 2); −∞ before the first step, +∞ at ᾱ = 0. */
export function gammaAt(schedule: Schedule, t: number): number {
  return -logSnrAt(schedule, t);
}

/** Refuses a number of steps that no schedule can have. */
export function checkSteps(name: string, steps: number): void {
  if (!(Number.isInteger(steps) && steps > 0)) throw new Error(`${name}: ${steps} steps, want a positive integer`);
}

/** A table of a schedule, looked at in a nanosecond: weights and solvers read it for every sample. */
function tableOf(name: string, schedule: Schedule, table: "alphaBars" | "noiseVariances"): Float64Array {
  if (!schedule?.[table]) expectArguments(name, { schedule });
  return schedule[table];
}

function checkTime({ steps }: Schedule, t: number): number {
  if (Number.isInteger(t) && t >= 0 && t < steps) return t;
  throw new Error(`schedule: t is ${t}, want an integer in [0, ${steps - 1}] (−1 for the data)`);
}

function float64Tables(betas: Float64Array): Schedule {
  const { length: steps } = betas;
  let [alphaBar, sum] = [1, 0];
  const [alphaBars, noiseVariances] = [new Float64Array(steps), new Float64Array(steps)];
  for (const [t, beta] of betas.entries()) {
    sum += alphaBar * beta;
    alphaBar *= 1 - beta;
    alphaBars[t] = alphaBar;
    noiseVariances[t] = alphaBar > 0.5 ? sum : 1 - alphaBar;
  }
  return { steps, betas, alphaBars, noiseVariances };
}

function float32Tables(given: Float64Array): Schedule {
  const betas = given.map(Math.fround);
  let product = 1;
  const alphaBars = betas.map((beta) => {
    product *= Math.fround(1 - beta);
    return Math.fround(product);
  });
  const noiseVariances = alphaBars.map((alphaBar) => Math.fround(1 - alphaBar));
  const lost = noiseVariances.indexOf(0);
  if (lost !== -1) {
    throw new Error(
      `schedule: β_${lost} is ${given[lost]}, which leaves no noise in float32: want larger ones, or float64`,
    );
  }
  return { steps: betas.length, betas, alphaBars, noiseVariances };
}
