// Ancestral sampling with a learned variance, or with a shift of the mean: a table of numbers cannot hold these.

import type { Conditioning } from "@pkg/nn";
import { type Tensor, tensor, weightedSum } from "@pkg/tensor";
import { type DiscretePath, scheduledLevels } from "../../forward/discretePath.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import { readNoise } from "../../forward/path.ts";
import { meanFromNoise, posterior } from "../../forward/posterior.ts";
import { fixedSmall, type ReverseVariance, splitVariance } from "../../model/variance.ts";
import type { Schedule } from "../../schedule/schedule.ts";
import type { Sampler } from "../sampler.ts";

/**
 * What is added to the mean of a step, of x's shape: how a classifier guides it (`classifierShift`).
 */
export type MeanShift = (step: {
  readonly x: Tensor;
  /** The level of x, and that of the next x. */
  readonly level: NoiseLevel;
  readonly next: NoiseLevel;
  readonly mean: Tensor;
  /** σ² of the step, of x's shape or to be broadcast to it. */
  readonly variance: Tensor;
  readonly labels?: Conditioning["labels"];
}) => Tensor;

/** The mean and the variance of the reverse steps. */
export interface AncestralOptions {
  /**
   * The variance of the reverse steps. A learned one takes the second half of the model's channels. Default: β̃_t, and nothing in the
   * step to the data, which only `shift` could notice.
   */
  readonly variance?: ReverseVariance;
  /**
   * How μ is found: from x̂₀, clipped if the path clips, and x_t ("data"; default, as Ho et al.'s code does it), or from ε̂ as their
   * algorithm 2 states it, where clipping has no part ("noise").
   */
  readonly mean?: "data" | "noise";
  /** Default: none. */
  readonly shift?: MeanShift;
}

/** The sampler of such options, which are checked. */
export function ancestralWalk(path: DiscretePath, options: AncestralOptions): Sampler {
  const { variance = fixedSmall({ first: "clamp" }), mean: of = "data", shift } = options;
  const { schedule, prior } = path;
  const levels = scheduledLevels(path);
  const isLast = (index: number) => levels[index + 1].noise === 0;
  return {
    levels,
    prior,
    step({ x, index, predict, rng, labels }) {
      const [level, next] = [levels[index], levels[index + 1]];
      const { prediction, raw } = splitVariance(predict(x, level), variance, x.shape);
      const denoised = path.denoise(prediction, x, level);
      const unshifted =
        of === "data"
          ? weightedSum([denoised, x], meanFromData(schedule, level.t, next.t))
          : weightedSum([x, readNoise(path, prediction, x, level)], meanFromNoise(schedule, level.t, next.t));
      const spread = spreadOf(variance, { schedule, x, level, next, raw });
      const mean = shift
        ? unshifted.add(shift({ x, level, next, mean: unshifted, variance: spread.variance(), labels }))
        : unshifted;
      if (isLast(index)) return { x: mean, denoised };
      return { x: spread.around(mean, rng.normal(x.shape, { backend: x.backend })), denoised };
    },
  };
}

/** The weights of x̂₀ and x in the posterior's mean. */
function meanFromData(schedule: Schedule, t: number, to: number): readonly number[] {
  const { fromData, fromNoisy } = posterior(schedule, t, to);
  return [fromData, fromNoisy];
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
      variance: () => tensor([power(1)], { backend: x.backend }),
      around: (mean, noise) => weightedSum([mean, noise], [1, power(1 / 2)]),
    };
  }
  const everywhere = (at: NoiseLevel) => new Array<number>(x.shape[0]).fill(at.t);
  const log = rule.logVariance({ schedule, x, times: everywhere(level), to: everywhere(next), raw });
  return {
    variance: () => log.exp(),
    around: (mean, noise) => mean.add(noise.mul(log.mul(1 / 2).exp())),
  };
}
