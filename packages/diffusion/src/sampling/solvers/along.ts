// Moves of x between two levels while estimates stay: what solvers of the probability-flow ODE are made of.

import { type Tensor, weightedSum } from "@pkg/tensor";
import type { NoiseLevel } from "../../forward/level.ts";

/** Where x gets to at another level when x̂₀ (and with it ε̂) stays: signal′ x̂₀ + noise′ ε̂, by way of x̂₀. */
export function along(x: Tensor, denoised: Tensor, from: NoiseLevel, to: NoiseLevel): Tensor {
  return weightedSum([x, denoised], () => {
    const ratio = to.noise / from.noise;
    return [ratio, to.signal - from.signal * ratio];
  });
}

/**
 * The same by way of ε̂ = Σ_j share_j noise_j: also from the data, where x says nothing of the noise.
 * @param shares that add up to 1; by default of one estimate
 */
export function alongNoise(
  x: Tensor,
  noises: readonly Tensor[],
  from: NoiseLevel,
  to: NoiseLevel,
  shares: readonly number[] = [1],
): Tensor {
  return weightedSum([x, ...noises], () => {
    const ratio = to.signal / from.signal;
    const length = to.noise - from.noise * ratio;
    return [ratio, ...shares.map((share) => length * share)];
  });
}

/** The noise in x beside x̂₀: ε̂ = (x − signal · x̂₀) / noise. */
export function noiseIn(x: Tensor, denoised: Tensor, level: NoiseLevel): Tensor {
  return weightedSum([x, denoised], () => [1 / level.noise, -level.signal / level.noise]);
}
