// DDIM: fewer steps, and none of the noise unless asked for.

import { convertPrediction, estimateData, type Prediction } from "../parameterization.ts";
import { posterior } from "../posterior.ts";
import type { Sampler } from "../sampler.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "../schedule.ts";
import { type Spacing, spacedTimes } from "../spacing.ts";

export interface DdimOptions {
  /** How many steps of the schedule to visit. Default 50, or all if there are fewer. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /** 0 is deterministic, 1 as noisy as ancestral sampling. Default 0. */
  readonly eta?: number;
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** Limit x̂₀ to [−1, 1]; the direction to x_t stays the model's own. Default true. */
  readonly clip?: boolean;
}

/**
 * x_next = √ᾱ_next x̂₀ + √(1 − ᾱ_next − σ²) ε̂ + σ z with σ = η √β̃ (Song et al. 2021, eq. 12 and 16).
 * @throws Error when eta is not in [0, 1]
 */
export function ddim(
  schedule: Schedule,
  {
    steps: count = Math.min(50, schedule.steps),
    spacing,
    eta = 0,
    prediction = "noise",
    clip = true,
  }: DdimOptions = {},
): Sampler {
  if (!(eta >= 0 && eta <= 1)) throw new Error(`ddim: eta is ${eta}, want a number in [0, 1]`);
  const times = spacedTimes(schedule.steps, count, spacing);
  return {
    times,
    step({ x, index, predict, rng }) {
      const [t, next = -1] = times.slice(index);
      const predicted = predict(x, t);
      const denoised = estimateData(schedule, predicted, { prediction, x, t, clip });
      const steps = new Array<number>(x.shape[0]).fill(t);
      const noise = convertPrediction(schedule, predicted, { from: prediction, to: "noise", x, times: steps });
      const alphaBar = alphaBarAt(schedule, next);
      const variance = eta ** 2 * posterior(schedule, t, next).variance;
      // Rounding may leave a difference of −1e-17 where it is 0.
      const direction = Math.sqrt(Math.max(0, noiseVarianceAt(schedule, next) - variance));
      const mean = denoised.mul(Math.sqrt(alphaBar)).add(noise.mul(direction));
      if (variance === 0) return { x: mean, denoised };
      return { x: mean.add(rng.normal(x.shape, { backend: x.backend }).mul(Math.sqrt(variance))), denoised };
    },
  };
}
