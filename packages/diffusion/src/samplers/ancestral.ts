// DDPM's ancestral sampling.

import type { Conditioning } from "@pkg/nn";
import type { Tensor, TensorLike } from "@pkg/tensor";
import { levelAt, type NoiseLevel } from "../level.ts";
import { convertPrediction, type Prediction } from "../parameterization.ts";
import { type Clip, clipped } from "../path.ts";
import { posterior } from "../posterior.ts";
import type { Sampler } from "../sampler.ts";
import type { Schedule } from "../schedule.ts";
import { type Spacing, spacedTimes } from "../spacing.ts";

/** What is added to the mean of a step, of x's shape: how a classifier guides it (`classifierShift`). */
export type MeanShift = (step: {
  readonly x: Tensor;
  /** Where x stands, and where the step leads. */
  readonly level: NoiseLevel;
  readonly next: NoiseLevel;
  readonly mean: Tensor;
  readonly variance: TensorLike;
  readonly labels?: Conditioning["labels"];
}) => Tensor;

export interface AncestralOptions {
  /** How many steps of the schedule to visit. Default: all. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /** The reverse variance: β̃_t ("fixedSmall") or β_t ("fixedLarge"). Default fixedSmall. */
  readonly variance?: "fixedSmall" | "fixedLarge";
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** What keeps x̂₀ where data can be. Default true: [−1, 1]. */
  readonly clip?: Clip;
  /** Default: none. */
  readonly shift?: MeanShift;
}

/**
 * x_{t−1} = μ̃(x̂₀, x_t) + σ_t z, z ~ N(0, I), no noise in the last step (Ho et al. 2020, algorithm 2, by way of a clipped x̂₀ as
 * their code does it).
 */
export function ancestral(
  schedule: Schedule,
  {
    steps = schedule.steps,
    spacing,
    variance = "fixedSmall",
    prediction = "noise",
    clip = true,
    shift,
  }: AncestralOptions = {},
): Sampler {
  const levels = [...spacedTimes(schedule.steps, steps, spacing), -1].map((t) => levelAt(schedule, t));
  return {
    levels,
    prior: 1,
    step({ x, index, predict, rng, labels }) {
      const [level, nextLevel] = levels.slice(index);
      const [t, next] = [level.t, nextLevel.t];
      const q = posterior(schedule, t, next);
      const times = new Array<number>(x.shape[0]).fill(t);
      const data = convertPrediction(schedule, predict(x, t), { from: prediction, to: "data", x, times });
      const denoised = clipped(data, clip);
      const sigma2 = variance === "fixedSmall" ? q.variance : q.beta;
      const unshifted = denoised.mul(q.fromData).add(x.mul(q.fromNoisy));
      const mean = shift
        ? unshifted.add(shift({ x, level, next: nextLevel, mean: unshifted, variance: sigma2, labels }))
        : unshifted;
      if (next === -1) return { x: mean, denoised };
      return { x: mean.add(rng.normal(x.shape, { backend: x.backend }).mul(Math.sqrt(sigma2))), denoised };
    },
  };
}
