// Training objectives.

import type { Conditioning } from "@pkg/nn";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { qSample } from "./forward.ts";
import type { Model } from "./model.ts";
import type { Schedule } from "./schedule.ts";

/**
 * L_simple = E‖ε − ε̂(√ᾱ_t x₀ + √(1 − ᾱ_t) ε, t)‖², t uniform over the steps (Ho et al. 2020, eq. 14 and algorithm 1).
 * The paper sums over elements; this is their mean, as in its code.
 * @param x0 [batch, ...], of about unit scale (images in [−1, 1])
 * @param rng draws t, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements
 */
export function noisePrediction(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  { labels }: Pick<Conditioning, "labels"> = {},
): Tensor {
  const times = [...rng.host.integers(0, schedule.steps, [x0.shape[0]])];
  const { noisy, noise } = qSample(schedule, x0, times, rng);
  return model.forward(noisy, times, { labels, rng }).sub(noise).square().mean();
}
