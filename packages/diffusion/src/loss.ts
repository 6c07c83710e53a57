// Training objectives: the squared error of a prediction, weighted by step.

import type { Conditioning } from "@pkg/nn";
import { type RandomStream, type Tensor, tensor } from "@pkg/tensor";
import { qSample } from "./forward.ts";
import type { Model } from "./model.ts";
import { type Prediction, predictionTarget } from "./parameterization.ts";
import type { Schedule } from "./schedule.ts";
import type { LossWeight } from "./weighting.ts";

export interface LossOptions extends Pick<Conditioning, "labels"> {
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** The weight of each sample's error by its step. Default: 1 for every step. */
  readonly weight?: LossWeight;
}

/**
 * E w_t ‖target − model(√ᾱ_t x₀ + √(1 − ᾱ_t) ε, t)‖², t uniform over the steps, ε ~ N(0, I) (Ho et al. 2020, algorithm 1).
 * The paper sums over elements; this is their mean, as in its code.
 * @param x0 [batch, ...], of about unit scale (images in [−1, 1])
 * @param rng draws t, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error when a weight is not finite, naming the step
 */
export function predictionLoss(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  { prediction = "noise", weight, labels }: LossOptions = {},
): Tensor {
  const times = [...rng.host.integers(0, schedule.steps, [x0.shape[0]])];
  const weights = weight && times.map((t) => checkWeight(weight(schedule, t), t));
  const { noisy, noise } = qSample(schedule, x0, times, rng);
  const target = predictionTarget(schedule, prediction, { data: x0, noise, times });
  const errors = model.forward(noisy, times, { labels, rng }).sub(target).square();
  if (!weights) return errors.mean();
  return errors
    .flatten(1)
    .mean(1)
    .mul(tensor(weights, { backend: x0.backend }))
    .mean();
}

/** L_simple = E‖ε − ε̂‖² (Ho et al. 2020, eq. 14): `predictionLoss` of the noise with equal weights. */
export function noisePrediction(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  { labels }: Pick<Conditioning, "labels"> = {},
): Tensor {
  return predictionLoss(model, schedule, x0, rng, { labels });
}

function checkWeight(weight: number, t: number): number {
  if (!Number.isFinite(weight))
    throw new Error(`predictionLoss: the weight of step ${t} is ${weight}, want a finite number`);
  return weight;
}
