// Data brought to a noise level, where an edit meets the samples on their way.

import { type Tensor, weightedSum } from "@pkg/tensor";
import type { NoiseLevel } from "../forward/level.ts";
import type { NoiseSource } from "../sampling/sampler.ts";

/**
 * signal · x₀ + noise · ε; one draw, but none at the data.
 * @param options shape: of the result, which x₀ broadcasts to; isData: whether the level has no noise, to be told of live ones
 */
export function noisedTo(
  level: NoiseLevel,
  x0: Tensor,
  rng: NoiseSource,
  {
    shape = x0.shape,
    isData = level.noise === 0,
  }: { readonly shape?: readonly number[]; readonly isData?: boolean } = {},
): Tensor {
  const mean = weightedSum([x0], [level.signal]);
  if (isData) return mean;
  return mean.add(weightedSum([rng.normal(shape, { backend: x0.backend })], [level.noise]));
}
