// EDM's training objective: the denoiser's error at noise levels drawn log-normally.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { type RandomStream, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import type { Model } from "../model/model.ts";
import { asColumn, checkBatch, checkPredicted, perSample } from "./perSample.ts";

/** The distribution of σ in EDM's loss, and the data's standard deviation. */
export interface EdmLossOptions extends Pick<Conditioning, "labels" | "numbers">, GivenNoise {
  /** P_mean: the mean of ln σ. Default −1.2. */
  readonly mean?: number;
  /** P_std: the standard deviation of ln σ. Default 1.2. */
  readonly deviation?: number;
  /** σ_d, the standard deviation of the data. Default 0.5. */
  readonly sigmaData?: number;
  /** The levels σ themselves, one per sample, instead of drawn ones: with `noise`, what repeats another program's step. */
  readonly sigmas?: Times;
}

/**
 * E λ(σ) ‖D(x₀ + σ ε; σ) − x₀‖² with ln σ ~ N(P_mean, P_std²) and λ = (σ² + σ_d²) / (σ σ_d)² = 1 / c_out², which gives the network in
 * a preconditioned denoiser equal weight at all levels (Karras et al. 2022, eq. 2 and table 1).
 * The paper sums over elements; this is their mean.
 * @param denoiser times are σ, the prediction is the data: `preconditioned(network)`
 * @param x0 [batch, ...]
 * @param rng draws σ, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error when mean or deviation is not finite, deviation below 0, or sigmaData not positive, and for σ that do not fit;
 * ShapeError when the prediction or the noise is not of x0's shape
 */
export function edmLoss(denoiser: Model, x0: Tensor, rng: RandomStream, options: EdmLossOptions = {}): Tensor {
  expectArguments("edmLoss", { denoiser, x0, rng, options });
  const { mean = -1.2, deviation = 1.2, sigmaData = 0.5, sigmas: given, noise, labels, numbers } = options;
  checkBatch("edmLoss", x0);
  if (!Number.isFinite(mean)) throw new Error(`edmLoss: mean is ${mean}, want a finite number`);
  if (!(deviation >= 0 && Number.isFinite(deviation)))
    throw new Error(`edmLoss: deviation is ${deviation}, want a number from 0 on`);
  if (!(sigmaData > 0 && Number.isFinite(sigmaData)))
    throw new Error(`edmLoss: sigmaData is ${sigmaData}, want a positive number`);
  if (given) checkTimes("edmLoss", given, x0, { what: "sigmas", dtypes: ["float32"] });
  if (noise) checkNoise("edmLoss", noise, x0);
  const sigmas = given ?? Array.from(rng.host.normal([x0.shape[0]]), (normal) => Math.exp(mean + deviation * normal));
  const deviations = sigmas instanceof Tensor ? asColumn(x0, sigmas) : perSample(x0, sigmas);
  const noisy = x0.add((noise ?? rng.normal(x0.shape, { backend: x0.backend })).mul(deviations));
  const predicted = denoiser.forward(noisy, sigmas, { labels, numbers, rng });
  checkPredicted("edmLoss", predicted, x0);
  const error = predicted.sub(x0);
  return error
    .mul(rootsOfWeights(x0, sigmas, sigmaData))
    .square()
    .mean();
}

/** √λ = √(σ² + σ_d²) / (σ σ_d), as a column. */
function rootsOfWeights(x0: Tensor, sigmas: Times, sigmaData: number): Tensor {
  if (!(sigmas instanceof Tensor))
    return perSample(
      x0,
      sigmas.map((sigma) => Math.hypot(sigma, sigmaData) / (sigma * sigmaData)),
    );
  const size = sigmas
    .square()
    .add(sigmaData ** 2)
    .sqrt();
  return asColumn(x0, size.div(sigmas.mul(sigmaData)));
}
