// DDPM's ancestral sampling.

import type { Conditioning } from "@pkg/nn";
import { perStep, type Tensor, tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { levelAt, type NoiseLevel } from "../../forward/level.ts";
import { type Clip, clipped } from "../../forward/path.ts";
import { meanFromNoise, posterior } from "../../forward/posterior.ts";
import { convertAtStep, type Prediction } from "../../model/parameterization.ts";
import { fixedSmall, type ReverseVariance, splitVariance } from "../../model/variance.ts";
import { expectClip, expectPrediction, expectWord } from "../../optionWords.ts";
import type { Schedule } from "../../schedule/schedule.ts";
import { type Spacing, spacedTimes } from "../../schedule/spacing.ts";
import type { Sampler } from "../sampler.ts";
import { stepLevels } from "./liveLevels.ts";

/**
 * What is added to the mean of a step, of x's shape: how a classifier guides it (`classifierShift`). In captured steps the numbers of
 * the levels may be read in `perStep` alone.
 */
export type MeanShift = (step: {
  readonly x: Tensor;
  /** Where x stands, and where the step leads. */
  readonly level: NoiseLevel;
  readonly next: NoiseLevel;
  readonly mean: Tensor;
  /** σ² of the step, of x's shape or to be broadcast to it. */
  readonly variance: Tensor;
  readonly labels?: Conditioning["labels"];
}) => Tensor;

export interface AncestralOptions {
  /** How many steps of the schedule to visit. Default: all. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /**
   * The variance of the reverse steps. A learned one takes the second half of the model's channels. Default: β̃_t, and nothing in the
   * step to the data, which only `shift` could notice.
   */
  readonly variance?: ReverseVariance;
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** What keeps x̂₀ where data can be: `true` for images in [−1, 1]. Default false: nothing is cut. */
  readonly clip?: Clip;
  /**
   * How μ is found: from x̂₀, clipped if that is asked for, and x_t ("data"; default, as Ho et al.'s code does it), or from ε̂ as their
   * algorithm 2 states it, where clipping has no part ("noise").
   */
  readonly mean?: "data" | "noise";
  /** Default: none. */
  readonly shift?: MeanShift;
}

/**
 * x_{t−1} = μ + σ_t z, z ~ N(0, I), no noise in the last step, with μ = μ̃(x̂₀, x_t), or
 * μ = (x_t − β_t / √(1 − ᾱ_t) ε̂) / √α_t (Ho et al. 2020, algorithm 2); the same if nothing is clipped.
 * @throws Error for steps out of range; from a step whose variance is learned when the model has not twice the channels
 */
export function ancestral(schedule: Schedule, options: AncestralOptions = {}): Sampler {
  expectArguments("ancestral", { schedule, options });
  const {
    steps = schedule.steps,
    spacing,
    variance = fixedSmall({ first: "clamp" }),
    prediction: kind = "noise",
    clip = false,
    mean: of = "data",
    shift,
  } = options;
  const levels = [...spacedTimes(schedule.steps, steps, spacing), -1].map((t) => levelAt(schedule, t));
  const isLast = (index: number) => index === levels.length - 2;
  expectPrediction("ancestral", kind);
  expectClip("ancestral", clip);
  expectWord("ancestral", "mean", of, ["data", "noise"]);
  return {
    levels,
    prior: 1,
    form: isLast,
    step({ x, index, live, predict, rng, labels }) {
      const [level, next] = stepLevels(levels, live);
      const { prediction, raw } = splitVariance(predict(x, level), variance, x.shape);
      const read = (to: Prediction) => convertAtStep(schedule, level, prediction, { from: kind, to, x });
      const denoised = clipped(read("data"), clip);
      const unshifted =
        of === "data"
          ? weightedSum([denoised, x], () => {
              const { fromData, fromNoisy } = posterior(schedule, level.t, next.t);
              return [fromData, fromNoisy];
            })
          : weightedSum([x, read("noise")], () => meanFromNoise(schedule, level.t, next.t));
      const spread = spreadOf(variance, { schedule, x, level, next, raw });
      const mean = shift
        ? unshifted.add(shift({ x, level, next, mean: unshifted, variance: spread.variance(), labels }))
        : unshifted;
      if (isLast(index)) return { x: mean, denoised };
      return { x: spread.around(mean, rng.normal(x.shape, { backend: x.backend })), denoised };
    },
  };
}

/** The variance of a step, and what a step adds to its mean: by a number where the model has no say in it. */
function spreadOf(
  rule: ReverseVariance,
  {
    schedule,
    x,
    level,
    next,
    raw,
  }: {
    readonly schedule: Schedule;
    readonly x: Tensor;
    readonly level: NoiseLevel;
    readonly next: NoiseLevel;
    readonly raw?: Tensor;
  },
): { variance(): Tensor; around(mean: Tensor, noise: Tensor): Tensor } {
  if (rule.logVarianceAt) {
    const at = rule.logVarianceAt;
    const power = (exponent: number) => Math.exp(exponent * at(schedule, level.t, next.t));
    return {
      variance: () => tensor(() => [power(1)], { backend: x.backend }),
      around: (mean, noise) => weightedSum([mean, noise], () => [1, power(1 / 2)]),
    };
  }
  const everywhere = (at: NoiseLevel) => perStep(() => new Array<number>(x.shape[0]).fill(at.t));
  const log = rule.logVariance({ schedule, x, times: everywhere(level), to: everywhere(next), raw });
  return {
    variance: () => log.exp(),
    around: (mean, noise) => mean.add(noise.mul(log.mul(1 / 2).exp())),
  };
}
