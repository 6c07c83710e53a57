// Measures what a sampler does to data that are known: its bias, and its order in the number of steps.

import { type Backend, cpu, randomStream, type Tensor, tensor, tidy } from "@pkg/tensor";
import type { NoiseLevel } from "./level.ts";
import type { Model } from "./model.ts";
import type { NoisePath } from "./path.ts";
import { finalSample, type NoiseSource, type Sampler, sample } from "./sampler.ts";

/** Mean and variance of one coordinate. */
export interface Moments {
  readonly mean: number;
  readonly variance: number;
}

/** What was measured at one number of steps. */
export interface SamplerRun extends Moments {
  readonly steps: number;
  /** √((mean − mean′)² + (std − std′)²) to the data's: the Wasserstein-2 distance, if both are Gaussian. */
  readonly error: number;
  /** Of mean and variance, when they were estimated from draws. */
  readonly standardErrors?: Moments;
}

export interface SamplerReport {
  readonly runs: readonly SamplerRun[];
  /**
   * p of a difference between step counts that falls as steps^−p, fitted to neighbouring runs: a constant bias (of the levels' ends, or
   * the prior) is no part of it. Undefined when there is nothing to fit: fewer than three counts, differences that are rounding alone,
   * or draws of a sampler that adds noise of its own.
   */
  readonly order?: number;
}

export interface VerifySamplerOptions {
  /** The exact model of the data. Default: none is asked, for samplers on an `oraclePath`. */
  readonly model?: Model;
  /** Of the data without noise. */
  readonly data: Moments;
  /** Each the same multiple of the one before. Default 16, 32, 64, 128. */
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
 * Runs a sampler at growing numbers of steps on data of one dimension whose exact model is known.
 * On Gaussian data samplers without thresholds are affine in what they start from and in their noise; then mean and variance come
 * without any chance. Else give `draws`: the estimates come with standard errors, and the order, of samplers without noise of their
 * own, from the root mean square between samples of the same start.
 * @param samplerOf the sampler of a number of steps
 * @throws Error for a sampler that is not affine when no draws are given, and for steps that do not rise
 */
export async function verifySampler(
  samplerOf: (steps: number) => Sampler,
  {
    model = ASKED_FOR_NOTHING,
    data,
    steps = [16, 32, 64, 128],
    draws,
    seed = 0,
    backend = cpu({ precision: "float64" }),
  }: VerifySamplerOptions,
): Promise<SamplerReport> {
  if (steps.length === 0 || steps.some((count, k) => !(count >= 1) || (k > 0 && count <= steps[k - 1])))
    throw new Error(`verifySampler: steps are ${steps.join(", ")}, want rising positive integers`);
  if (draws !== undefined && !(Number.isInteger(draws) && draws >= 2))
    throw new Error(`verifySampler: ${draws} draws, want an integer of two or more`);
  const runs: SamplerRun[] = [];
  const differences: number[] = [];
  let before: Outcome | undefined;
  for (const count of steps) {
    const sampler = samplerOf(count);
    const outcome = draws
      ? await estimated(sampler, model, draws, seed, backend)
      : await affineMoments(sampler, model, backend);
    const target = momentsAt(data, sampler.levels[sampler.levels.length - 1]);
    runs.push({ steps: count, ...outcome.moments, error: distance(outcome.moments, target), ...outcome.errors });
    if (before) differences.push(difference(before, outcome));
    before = outcome;
  }
  return { runs, order: fittedOrder(steps, differences) };
}

/** A path on which the data's own denoiser answers whatever the model says. @param denoiser E[x₀ | x₀ + σ ε = y] */
export function oraclePath<Path extends NoisePath>(path: Path, denoiser: (y: Tensor, sigma: number) => Tensor): Path {
  return {
    ...path,
    denoise: (_, x, { signal, noise }) => denoiser(x.mul(1 / signal), noise / signal),
  };
}

/** What a run gave: moments, and the samples that they are of when those are comparable. */
interface Outcome {
  readonly moments: Moments;
  readonly errors?: { readonly standardErrors: Moments };
  readonly samples?: Float64Array;
}

const ASKED_FOR_NOTHING: Model = { forward: (x) => x };

function momentsAt({ mean, variance }: Moments, { signal, noise }: NoiseLevel): Moments {
  return { mean: signal * mean, variance: signal ** 2 * variance + noise ** 2 };
}

function distance(a: Moments, b: Moments): number {
  return Math.hypot(a.mean - b.mean, Math.sqrt(a.variance) - Math.sqrt(b.variance));
}

/**
 * Sample 0 starts at 0 without noise, sample 1 at the prior's standard deviation, sample 2 at twice it, and sample 3 + k at 0 with
 * noise 1 in draw k alone: what they end at, less sample 0, are the coefficients of independent normal numbers.
 */
async function affineMoments(sampler: Sampler, model: Model, backend: Backend): Promise<Outcome> {
  const run = (start: readonly number[], rng: NoiseSource) => {
    const x = tensor(Float64Array.from(start), { backend });
    return finalSample(sample(sampler, model, x.shape, rng, { from: { x } }));
  };
  let draws = 0;
  const counting: NoiseSource = {
    normal: (shape) => {
      draws++;
      return tensor(new Float64Array(shape[0]), { backend, shape: [shape[0]] });
    },
  };
  (await run([0], counting)).dispose();
  const batch = 3 + draws;
  let draw = 0;
  const oneAtATime: NoiseSource = {
    normal: (shape) => {
      const values = new Float64Array(batch);
      values[3 + draw++] = 1;
      return tensor(values, { backend, shape });
    },
  };
  const start = Array.from({ length: batch }, (_, k) => (k === 1 || k === 2 ? k * sampler.prior : 0));
  const x = await run(start, oneAtATime);
  const ends = await x.data();
  x.dispose();
  const [mean, once, twice] = ends;
  if (!(Math.abs(twice - 2 * once + mean) <= 1e-9 * (Math.abs(twice) + Math.abs(mean) + 1e-3))) {
    throw new Error(
      `verifySampler: from 0, 1 and 2 times the prior it gets to ${mean}, ${once} and ${twice}, which is not affine: want draws`,
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
  const x = tidy(() => rng.normal([draws], { backend }).mul(sampler.prior));
  let isNoisy = false;
  const watched: NoiseSource = {
    normal: (shape, options) => {
      isNoisy = true;
      return rng.normal(shape, options);
    },
  };
  const end = await finalSample(sample(sampler, model, [draws], watched, { from: { x } }));
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
