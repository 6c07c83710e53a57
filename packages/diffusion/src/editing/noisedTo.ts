// Data brought to a noise level, where an edit meets the samples on their way.

import { type Tensor, weightedSum } from "@pkg/tensor";
import type { NoiseLevel } from "../forward/level.ts";
import type { NoiseSource } from "../sampling/sampler.ts";

/**
 * signal · x₀ + noise · ε; one draw, but none at the data.
 * @param shape of the result, which x₀ broadcasts to
 */
export function noisedTo(
  { signal, noise }: NoiseLevel,
  x0: Tensor,
  rng: NoiseSource,
  shape: readonly number[] = x0.shape,
): Tensor {
  const mean = weightedSum([x0], [signal]);
  if (noise === 0) return mean;
  return mean.add(weightedSum([rng.normal(shape, { backend: x0.backend })], [noise]));
}
