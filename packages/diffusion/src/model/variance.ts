// The variance σ² of the reverse step p(x_to | x_t): fixed, learned, or the optimal one. Samplers, bounds and losses take any.

import type { Times } from "@pkg/nn";
import { type Shape, ShapeError, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type FirstVariance, posterior, posteriorLogVariance } from "../forward/posterior.ts";
import { perSample } from "../objective/perSample.ts";
import { noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";
import { columnAtSteps } from "../schedule/tables.ts";

/** A rule for the variance of reverse steps. */
export interface ReverseVariance {
  /** Whether the model says something of it: then its output has twice the data's channels (`splitVariance`). */
  readonly isLearned: boolean;
  /**
   * log σ² of each sample's step.
   * @returns [batch, 1, ...] or x's shape, to be broadcast
   * @throws Error for a t or `to` out of range
   */
  logVariance(step: ReverseStep): Tensor;
  /** The same in float64 for a single step, where the model has no say in it. */
  readonly logVarianceAt?: (schedule: Schedule, t: number, to: number) => number;
}

/** The steps that variances are asked for. */
export interface ReverseStep {
  /** The schedule of the steps. */
  readonly schedule: Schedule;
  /** [batch, ...], the noised data. */
  readonly x: Tensor;
  /** One step per sample. */
  readonly times: Times;
  /** Where each sample goes, of times that are a list; default t − 1. */
  readonly to?: readonly number[];
  /** The model's second set of channels, of x's shape, where the rule is learned. */
  readonly raw?: Tensor;
}

/** The option of variances that are 0 in the step to the data. */
export interface FirstOption {
  /** What stands in for β̃ in the step to the data, where it is 0. Default "nextVariance". */
  readonly first?: FirstVariance;
}

/** σ² = β̃, the variance of the forward process' posterior: best for data that is one point. */
export function fixedSmall(options: FirstOption = {}): ReverseVariance {
  expectArguments("fixedSmall", { options });
  const { first } = options;
  return fixed((schedule, t, to) => posteriorLogVariance(schedule, t, to, { first }), `fixedSmall, ${first}`);
}

/**
 * σ² = β, best for data from N(0, I). In the step to the data, where the decoder needs it, β̃ of the step before in sampling, as
 * Ho et al.'s code has it.
 */
export function fixedLarge(): ReverseVariance {
  return fixed(
    (schedule, t, to) =>
      to === -1 ? posteriorLogVariance(schedule, t, to) : Math.log(posterior(schedule, t, to).beta),
    "fixedLarge",
  );
}

/** The model's second channels are log σ² (Nichol & Dhariwal 2021, section 3.1; unstable to train: `learnedRange` is not). */
export function learned(): ReverseVariance {
  return { isLearned: true, logVariance: ({ raw }) => rawOf("learned", raw) };
}

/**
 * log σ² = v log β + (1 − v) log β̃ with v = (o + 1) / 2 of the model's second channels o, not limited (Nichol & Dhariwal 2021,
 * eq. 15, as in their code).
 */
export function learnedRange(options: FirstOption = {}): ReverseVariance {
  expectArguments("learnedRange", { options });
  const { first } = options;
  return {
    isLearned: true,
    logVariance({ schedule, x, times, to, raw }) {
      const v = rawOf("learnedRange", raw).affine(0.5, 0.5);
      const low = (t: number, next: number) => posteriorLogVariance(schedule, t, next, { first });
      const width = (t: number, next: number) => Math.log(posterior(schedule, t, next).beta) - low(t, next);
      const [widths, lows] = [
        columnOfPairs({ schedule, x, times, to }, width, `learnedRange, width, ${first}`),
        columnOfPairs({ schedule, x, times, to }, low, `fixedSmall, ${first}`),
      ];
      return v.mul(widths).add(lows);
    },
  };
}

/**
 * The optimal variance of a given noise prediction, β̃ + β² / (α (1 − ᾱ)) (1 − Γ) with Γ = E‖ε̂‖² / d (Bao et al. 2022, eq. 8, for
 * DDPM's λ² = β̃): β̃ and what is not known of x₀. It is kept between β̃ and what data of a bounded range can have: where σ is large an
 * error in Γ counts σ² times.
 * @param energies Γ_t of every step: `noiseEnergies` estimates them
 * @param options range: [low, high] of the data, [−1, 1] of images; null for unbounded data
 * @throws Error without a range or for one that is none, and for energies that are negative or not finite
 */
export function analytic(
  energies: ArrayLike<number>,
  options: { readonly range: readonly [low: number, high: number] | null },
): ReverseVariance {
  expectArguments("analytic", { energies });
  const range = options?.range;
  if (range === undefined)
    throw new Error("analytic: no range, want [low, high] of the data, [−1, 1] of images, or null for unbounded data");
  const wrong = Array.from(energies).findIndex((energy) => !(energy >= 0 && Number.isFinite(energy)));
  if (wrong !== -1)
    throw new Error(`analytic: energies[${wrong}] is ${energies[wrong]}, want finite numbers from 0 on`);
  if (range && !(range[1] > range[0])) throw new Error(`analytic: range is [${range}], want low below high`);
  const most = range ? ((range[1] - range[0]) / 2) ** 2 : Number.POSITIVE_INFINITY;
  return fixed((schedule, t, to) => {
    if (energies.length !== schedule.steps) {
      throw new Error(`analytic: ${energies.length} energies for ${schedule.steps} steps, want one per step`);
    }
    const { fromData, variance } = posterior(schedule, t, to);
    const alphaBar = schedule.alphaBars[t];
    const ofData = alphaBar > 0 ? (noiseVarianceAt(schedule, t) / alphaBar) * Math.max(0, 1 - energies[t]) : most;
    if (ofData === Number.POSITIVE_INFINITY && most === ofData) {
      throw new Error(`analytic: ᾱ is 0 at step ${t}, where the noise says nothing of the data: want a range`);
    }
    const optimal = variance + fromData ** 2 * Math.min(ofData, most);
    return optimal > 0 ? Math.log(optimal) : posteriorLogVariance(schedule, t, to);
  });
}

/**
 * The output of a model with learned variances, [..., 2 channels], as its prediction and the raw variance, [..., channels] each;
 * without them the output and nothing.
 * @throws ShapeError when the output is not of such a shape
 */
export function splitVariance(
  output: Tensor,
  variance: Pick<ReverseVariance, "isLearned">,
  shape: Shape,
): { prediction: Tensor; raw?: Tensor } {
  expectArguments("splitVariance", { output, variance, shape });
  const channels = shape[shape.length - 1];
  const wanted = variance.isLearned ? [...shape.slice(0, -1), 2 * channels] : shape;
  if (`${output.shape}` !== `${wanted}`) {
    throw new ShapeError(`splitVariance: the model's output is [${output.shape}] for x [${shape}], want [${wanted}]`);
  }
  if (!variance.isLearned) return { prediction: output };
  const [prediction, raw] = output.split(channels, -1);
  return { prediction, raw };
}

/** @param key as a `StepFunction` has it; without one the rule's function itself */
function fixed(
  log: (schedule: Schedule, t: number, to: number) => number,
  key: string | object = log,
): ReverseVariance {
  return {
    isLearned: false,
    logVarianceAt: log,
    logVariance: (step) => columnOfPairs(step, (t, next) => log(step.schedule, t, next), key),
  };
}

/** A function of each sample's step and where it goes, [batch, 1, …, 1]. */
function columnOfPairs(
  { schedule, x, times, to }: ReverseStep,
  of: (t: number, to: number) => number,
  key: string | object,
): Tensor {
  if (!to) return columnAtSteps(schedule, x, times, { key, at: (t) => of(t, t - 1) });
  if (times instanceof Tensor) throw new Error(`variance: times is ${times} where the ends are given, want a list`);
  return perSample(x, eachPair(times, to, of));
}

function eachPair(times: readonly number[], to: readonly number[], of: (t: number, to: number) => number): number[] {
  if (to.length !== times.length) {
    throw new Error(`variance: ${to.length} ends for ${times.length} times, want one each`);
  }
  return times.map((t, i) => of(t, to[i]));
}

function rawOf(name: string, raw: Tensor | undefined): Tensor {
  if (!raw) throw new Error(`${name}: no raw variance, want the second half of the model's channels`);
  return raw;
}
