// Moves of x between two levels while estimates stay: what solvers of the probability-flow ODE are made of.

import type { Tensor } from "@pkg/tensor";
import type { NoiseLevel } from "../level.ts";

/** Where x gets to at another level when x̂₀ (and with it ε̂) stays: signal′ x̂₀ + noise′ ε̂, by way of x̂₀. */
export function along(x: Tensor, denoised: Tensor, from: NoiseLevel, to: NoiseLevel): Tensor {
  const ratio = to.noise / from.noise;
  return combination(x, ratio, [denoised], [to.signal - from.signal * ratio]);
}

/** The same by way of ε̂: also from the data, where x says nothing of the noise. */
export function alongNoise(x: Tensor, noise: Tensor, from: NoiseLevel, to: NoiseLevel): Tensor {
  const ratio = to.signal / from.signal;
  return combination(x, ratio, [noise], [to.noise - from.noise * ratio]);
}

/** The noise in x beside x̂₀: ε̂ = (x − signal · x̂₀) / noise. */
export function noiseIn(x: Tensor, denoised: Tensor, { signal, noise }: NoiseLevel): Tensor {
  return combination(x, 1 / noise, [denoised], [-signal / noise]);
}

/** scale · x + Σ_j w_j estimate_j. */
export function combination(
  x: Tensor,
  scale: number,
  estimates: readonly Tensor[],
  weights: readonly number[],
): Tensor {
  return estimates.reduce((sum, estimate, j) => sum.add(estimate.mul(weights[j])), x.mul(scale));
}
