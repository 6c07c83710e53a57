// Dynamic thresholding: an estimate of the data that strong guidance drove out of range is scaled back, not cut off.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/**
 * A `Clip` for samplers and paths: each sample is clamped to [−s, s] and divided by s, s being the q-quantile of its |x̂₀|, at least
 * 1 (Saharia et al. 2022, section 2.3, Imagen). Samples with s = 1 are clamped to [−1, 1] alone.
 * @param options quantile: q, 0.995 by default; max: the largest s, by default any. With max 1 it is the plain clip.
 * @throws Error for a quantile outside of [0, 1] and max below 1
 */
export function dynamicThreshold(
  options: { readonly quantile?: number; readonly max?: number } = {},
): (data: Tensor) => Tensor {
  expectArguments("dynamicThreshold", { options });
  const { quantile = 0.995, max = Number.POSITIVE_INFINITY } = options;
  if (!(quantile >= 0 && quantile <= 1))
    throw new Error(`dynamicThreshold: quantile is ${quantile}, want a number in [0, 1]`);
  if (!(max >= 1)) throw new Error(`dynamicThreshold: max is ${max}, want a number from 1 on`);
  return (data) => {
    const axes = data.shape.slice(1).map((_, k) => k + 1);
    const atLeastOne = data.abs().quantile(quantile, axes, { keepAxes: true }).maximum(1);
    const limit = max === Number.POSITIVE_INFINITY ? atLeastOne : atLeastOne.minimum(max);
    return data.minimum(limit).maximum(limit.neg()).div(limit);
  };
}
