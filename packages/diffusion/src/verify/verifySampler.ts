// Measures what a sampler does to data that are known: its bias, and its order in the number of steps.

import { type Backend, cpu, randomStream, tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import type { Oracle } from "../oracle/oracle.ts";
import { finalSample, type NoiseSource, type Sampler, sample } from "../sampling/sampler.ts";

/** Mean and variance of one coordinate. */
export interface Moments {
  /** The mean. */
  readonly mean: number;
  /** The variance. */
  readonly variance: number;
}

/** What was measured at one number of steps. */
export interface SamplerRun extends Moments {
  /** The number of steps. */
  readonly steps: number;
  /** √((mean − mean′)² + (std − std′)²) to the data's: the Wasserstein-2 distance, if both are Gaussian. */
  readonly error: number;
  /** Of mean and variance, when they were estimated from draws. */
  readonly standardErrors?: Moments;
}

/** The results of `verifySampler`. */
export interface SamplerReport {
  /** One run per number of steps. */
  readonly runs: readonly SamplerRun[];
  /**
   * p of differences between step counts that fall as steps^−p, fitted to neighbouring runs: a constant bias (of the levels' ends, or
   * the prior) is no part of it. Undefined when there is nothing to fit: fewer than three counts, differences that are rounding alone,
   * or draws of a sampler that adds noise of its own.
   */
  readonly order?: number;
}

/** How `verifySampler` runs the sampler. */
export interface VerifySamplerOptions {
  /** What the sampler asks, `oracleModel`. Default: x ↦ x, for samplers on an `oraclePath`, which read nothing of it. */
  readonly model?: Model;
  /** Each the same multiple of the one before. Default 16, 32, 64, 128; of one sampler its own number of steps. */
  readonly steps?: readonly number[];
  /**
   * How many samples to draw and estimate the moments from: for samplers or data that are not Gaussian. Default: none; the moments are
   * computed, to rounding, from the response to each draw, which takes a sampler that is affine in x and noise.
   */
  readonly draws?: number;
  /** Of the draws. Default 0. */
  readonly seed?: number;
  /** Default: the CPU in float64. */
  readonly backend?: Backend;
}

/**
 * Runs a sampler on data that are known: one as it is, or samplers of growing numbers of steps, whose order it fits.
 *
 * On Gaussian data samplers without thresholds are affine in what they start from and in their noise; then mean and variance come
 * without any chance. Else give `draws`: the estimates come with standard errors, and the order, of samplers without noise of their
 * own, from the root mean square between samples of the same start.
 * @param samplerOf a sampler, or the sampler of a number of steps
 * @param oracle of one dimension
 * @throws Error for a sampler that is not affine when no draws are given, and for steps that do not rise
 */
export async function verifySampler(
  samplerOf: Sampler | ((steps: number) => Sampler),
  oracle: Oracle,
  options: VerifySamplerOptions = {},
): Promise<SamplerReport> {
  expectArguments("verifySampler", { samplerOf, oracle, options });
  const {
    model = UNHEARD,
    steps = typeof samplerOf === "function" ? [16, 32, 64, 128] : [samplerOf.levels.length - 1],
    draws,
    seed = 0,
    backend = cpu({ precision: "float64" }),
  } = options;
  if (oracle.mean.length !== 1)
    throw new Error(`verifySampler: an oracle of ${oracle.mean.length} dimensions, want one`);
  if (steps.length === 0 || steps.some((count, k) => !(count >= 1) || (k > 0 && count <= steps[k - 1])))
    throw new Error(`verifySampler: steps are ${steps.join(", ")}, want rising positive integers`);
  if (draws !== undefined && !(Number.isInteger(draws) && draws >= 2))
    throw new Error(`verifySampler: ${draws} draws, want an integer of two or more`);
  const runs: SamplerRun[] = [];
  const differences: number[] = [];
  let before: Outcome | undefined;
  for (const count of steps) {
    const sampler = typeof samplerOf === "function" ? samplerOf(count) : samplerOf;
    const outcome = draws
      ? await estimated(sampler, model, draws, seed, backend)
      : await affineMoments(sampler, model, backend);
    const target = momentsAt(oracle, sampler.levels[sampler.levels.length - 1]);
    runs.push({ steps: count, ...outcome.moments, error: distance(outcome.moments, target), ...outcome.errors });
    if (before) differences.push(difference(before, outcome));
    before = outcome;
  }
  return { runs, order: fittedOrder(steps, differences) };
}

/** What a run gave: moments, and the samples that they are of when those are comparable. */
interface Outcome {
  readonly moments: Moments;
  readonly errors?: { readonly standardErrors: Moments };
  readonly samples?: Float64Array;
}

const UNHEARD: Model = { forward: (x) => x };

function momentsAt(oracle: Oracle, { signal, noise }: NoiseLevel): Moments {
  return { mean: signal * oracle.mean[0], variance: signal ** 2 * oracle.covariance()[0][0] + noise ** 2 };
}

function distance(a: Moments, b: Moments): number {
  return Math.hypot(a.mean - b.mean, Math.sqrt(a.variance) - Math.sqrt(b.variance));
}

/**
 * Sample 0 starts at 0 without noise, sample 1 at the prior's standard deviation, sample 2 at twice it, and sample 3 + k at 0 with
 * noise 1 in draw k alone: what they end at, less sample 0, are the coefficients of independent normal numbers.
 */
async function affineMoments(sampler: Sampler, model: Model, backend: Backend): Promise<Outcome> {
  const column = (values: Float64Array) => tensor(values, { backend, shape: [values.length, 1] });
  const run = (start: Float64Array, draw: (index: number) => Float64Array) => {
    const x = column(start);
    let count = 0;
    const rng: NoiseSource = {
      normal(shape) {
        if (`${shape}` !== `${x.shape}`)
          throw new Error(`verifySampler: the sampler draws [${shape}] for x [${x.shape}], is not affine: want draws`);
        return column(draw(count++));
      },
    };
    const end = finalSample(sample(sampler, model, x.shape, rng, { from: { x } }));
    return end.then((x) => ({ x, count }));
  };
  const trial = await run(new Float64Array(1), () => new Float64Array(1));
  trial.x.dispose();
  const batch = 3 + trial.count;
  const unit = (at: number, value = 1) => Float64Array.from({ length: batch }, (_, k) => (k === at ? value : 0));
  const start = unit(1, sampler.prior);
  start[2] = 2 * sampler.prior;
  const { x } = await run(start, (index) => unit(3 + index));
  const ends = await x.data();
  x.dispose();
  const [mean, once, twice] = ends;
  if (!(Math.abs(twice - 2 * once + mean) <= 1e-9 * (Math.abs(twice) + Math.abs(mean) + 1e-3))) {
    throw new Error(
      `verifySampler: from 0, 1 and 2 times the prior it gets to ${mean}, ${once} and ${twice}, is not affine: want draws`,
    );
  }
  let variance = (once - mean) ** 2;
  for (let k = 3; k < batch; k++) variance += (ends[k] - mean) ** 2;
  return { moments: { mean, variance } };
}

async function estimated(
  sampler: Sampler,
  model: Model,
  draws: number,
  seed: number,
  backend: Backend,
): Promise<Outcome> {
  const rng = randomStream(seed);
  const x = tidy(() => rng.normal([draws, 1], { backend }).mul(sampler.prior));
  let isNoisy = false;
  const watched: NoiseSource = {
    normal: (shape, options) => {
      isNoisy = true;
      return rng.normal(shape, options);
    },
  };
  const end = await finalSample(sample(sampler, model, [draws, 1], watched, { from: { x } }));
  const samples = Float64Array.from(await end.data());
  for (const used of [x, end]) used.dispose();
  const meanOf = (of: (value: number) => number) => samples.reduce((sum, value) => sum + of(value), 0) / draws;
  const mean = meanOf((value) => value);
  const variance = meanOf((value) => (value - mean) ** 2) * (draws / (draws - 1));
  const fourth = meanOf((value) => (value - mean) ** 4);
  const standardErrors = { mean: Math.sqrt(variance / draws), variance: Math.sqrt((fourth - variance ** 2) / draws) };
  return { moments: { mean, variance }, errors: { standardErrors }, samples: isNoisy ? undefined : samples };
}

/** Between two runs: of samples with the same start, or of exact moments; NaN where chance would be part of it. */
function difference(a: Outcome, b: Outcome): number {
  if (!a.errors || !b.errors) return distance(a.moments, b.moments);
  const [first, second] = [a.samples, b.samples];
  if (!first || !second) return Number.NaN;
  let sum = 0;
  for (let k = 0; k < first.length; k++) sum += (first[k] - second[k]) ** 2;
  return Math.sqrt(sum / first.length);
}

/** The slope of log difference over log steps, negated. */
function fittedOrder(steps: readonly number[], differences: readonly number[]): number | undefined {
  const points = differences.flatMap((value, k) => (value > 1e-12 ? [[Math.log(steps[k]), Math.log(value)]] : []));
  if (points.length < 2) return undefined;
  const [middle, height] = [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
  const covariance = points.reduce((sum, [x, y]) => sum + (x - middle) * (y - height), 0);
  return -covariance / points.reduce((sum, [x]) => sum + (x - middle) ** 2, 0);
}
