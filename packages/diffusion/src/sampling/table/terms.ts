// Moves of x from one level to another with constant estimates: the sums in solvers of the probability-flow ODE.

import type { NoiseLevel } from "../../forward/level.ts";
import { type Sum, sum } from "./step.ts";

/** x at another level if x̂₀ and ε̂ stay: signal′ x̂₀ + noise′ ε̂, by way of x̂₀. */
export function along(x: string, data: string, from: NoiseLevel, to: NoiseLevel): Sum {
  const ratio = to.noise / from.noise;
  return sum({ [x]: ratio, [data]: to.signal - from.signal * ratio });
}

/**
 * The same by way of ε̂ = Σ_j share_j noise_j. It also works from the data, where x tells nothing about the noise.
 * @param shares weights that add up to 1; by default of one estimate
 */
export function alongNoise(
  x: string,
  noises: readonly string[],
  from: NoiseLevel,
  to: NoiseLevel,
  shares: readonly number[] = [1],
): Sum {
  const ratio = to.signal / from.signal;
  const length = to.noise - from.noise * ratio;
  return weighted([x, ...noises], [ratio, ...shares.map((share) => length * share)]);
}

/** The noise in x beside x̂₀: ε̂ = (x − signal · x̂₀) / noise. */
export function noiseIn(x: string, data: string, { signal, noise }: NoiseLevel): Sum {
  return sum({ [x]: 1 / noise, [data]: -signal / noise });
}

/** Σ_k weight_k · quantity_k. */
export function weighted(quantities: readonly string[], weights: readonly number[]): Sum {
  return sum(Object.fromEntries(quantities.map((name, k) => [name, weights[k]])));
}
