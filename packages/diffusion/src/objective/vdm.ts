// Variational diffusion: the bound's diffusion loss for a continuous log-SNR, in continuous time or T steps.

import type { Conditioning } from "@pkg/nn";
import { addNoise, perStep, type RandomStream, type Tensor, tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { checkBatch, checkPredicted, meanPerSample } from "./perSample.ts";

/** γ(t) = −log SNR of t in [0, 1], rising: x_t = √sigmoid(−γ) x₀ + √sigmoid(γ) ε. */
export interface GammaCurve {
  readonly gamma: (t: number) => number;
  /** dγ/dt. */
  readonly slope: (t: number) => number;
}

export interface VdmOptions extends Pick<Conditioning, "labels"> {
  /** T; none for continuous time. */
  readonly steps?: number;
  /** What the model calls t. Default: t itself, in [0, 1]. */
  readonly label?: (t: number) => number;
}

/** γ rises linearly (Kingma et al. 2021, appendix H, fixed schedule), by default between their ends. @throws Error unless it rises */
export function linearGamma(options: { readonly start?: number; readonly end?: number } = {}): GammaCurve {
  expectArguments("linearGamma", { options });
  const { start = -13.3, end = 5 } = options;
  if (!(end > start && Number.isFinite(end - start))) {
    throw new Error(`linearGamma: γ from ${start} to ${end}, want finite numbers, the second larger`);
  }
  return { gamma: (t) => start + (end - start) * t, slope: () => end - start };
}

/**
 * The diffusion loss, in nats a dimension: ½ E γ′(t) ‖ε − ε̂‖² for t in [0, 1] (Kingma et al. 2021, eq. 17), or
 * ½ T E (e^(γ(t) − γ(s)) − 1) ‖ε − ε̂‖² for t = 1/T, …, 1 and s = t − 1/T (eq. 14). Times are spread over the batch with one draw.
 * @param model predicts the noise
 * @param x0 [batch, ...]
 * @returns [], the mean over batch and elements
 * @throws Error when γ does not rise or is not finite where it is asked; ShapeError when the prediction is not of x0's shape
 */
export function vdmLoss(
  model: Model,
  curve: GammaCurve,
  x0: Tensor,
  rng: RandomStream,
  options: VdmOptions = {},
): Tensor {
  expectArguments("vdmLoss", { model, curve, x0, rng, options });
  const { steps, label = (t) => t, labels } = options;
  const { gamma, slope } = curve;
  if (steps !== undefined && !(Number.isInteger(steps) && steps >= 1)) {
    throw new Error(`vdmLoss: ${steps} steps, want a positive integer, or none for continuous time`);
  }
  checkBatch("vdmLoss", x0);
  const { backend, shape } = x0;
  const times = perStep(() => {
    const u = rng.next();
    return Array.from({ length: shape[0] }, (_, i) => {
      const t = (u + i / shape[0]) % 1;
      return steps ? (Math.floor(t * steps) + 1) / steps : t;
    });
  });
  const weightOf = (t: number) => {
    const weight = 0.5 * (steps ? steps * Math.expm1(gamma(t) - gamma(t - 1 / steps)) : slope(t));
    if (weight > 0 && Number.isFinite(weight)) return weight;
    throw new Error(`vdmLoss: γ at t = ${t} gives the weight ${weight}, want a curve that rises`);
  };
  const weights = tensor(() => times.map(weightOf), { backend });
  const root = (sign: number) =>
    tensor(() => times.map((t) => Math.sqrt(1 / (1 + Math.exp(sign * gamma(t))))), { backend });
  const { noisy, noise } = addNoise(x0, root(1), root(-1), rng);
  const names = perStep(() => times.map(label));
  const predicted = model.forward(noisy, names, { labels, rng });
  checkPredicted("vdmLoss", predicted, x0);
  const errors = predicted.sub(noise).square();
  return meanPerSample(errors).mul(weights).mean();
}
