// DDPM's ancestral sampling.

import { estimateData, type Prediction } from "../parameterization.ts";
import { posterior } from "../posterior.ts";
import type { Sampler } from "../sampler.ts";
import type { Schedule } from "../schedule.ts";
import { type Spacing, spacedTimes } from "../spacing.ts";

export interface AncestralOptions {
  /** How many steps of the schedule to visit. Default: all. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /** The reverse variance: β̃_t ("fixedSmall") or β_t ("fixedLarge"). Default fixedSmall. */
  readonly variance?: "fixedSmall" | "fixedLarge";
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** Limit x̂₀ to [−1, 1]. Default true. */
  readonly clip?: boolean;
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
  }: AncestralOptions = {},
): Sampler {
  const times = spacedTimes(schedule.steps, steps, spacing);
  return {
    times,
    step({ x, index, predict, rng }) {
      const [t, next = -1] = times.slice(index);
      const q = posterior(schedule, t, next);
      const denoised = estimateData(schedule, predict(x, t), { prediction, x, t, clip });
      const mean = denoised.mul(q.fromData).add(x.mul(q.fromNoisy));
      if (next === -1) return { x: mean, denoised };
      const sigma = Math.sqrt(variance === "fixedSmall" ? q.variance : q.beta);
      return { x: mean.add(rng.normal(x.shape, { backend: x.backend }).mul(sigma)), denoised };
    },
  };
}
