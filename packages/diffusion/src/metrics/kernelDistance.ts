// The kernel distance of feature vectors: KID, unbiased for any number of samples.

import type { RandomStream } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkPair, type Features, type Spread, spreadOf } from "./features.ts";

/**
 * The squared maximum mean discrepancy with the kernel (xᵀy / d + 1)³, unbiased (Bińkowski et al. 2018, KID): may be below 0. Mean
 * and standard deviation over random subsets.
 * @param options subsets: 100 by default; size of each: 1000 by default, drawn from both sets without replacement
 * @throws Error when a set has fewer vectors than `size`, and for features whose kernel overflows
 */
export function kernelDistance(
  real: Features,
  generated: Features,
  rng: RandomStream,
  options: { readonly subsets?: number; readonly size?: number } = {},
): Spread {
  expectArguments("kernelDistance", { real, generated, rng, options });
  const { subsets = 100, size = 1000 } = options;
  if (!(Number.isInteger(subsets) && subsets >= 1))
    throw new Error(`kernelDistance: ${subsets} subsets, want a positive integer`);
  if (!(Number.isInteger(size) && size >= 2))
    throw new Error(`kernelDistance: size is ${size}, want an integer from 2 on`);
  checkPair("kernelDistance", real, generated, size);
  const draw = (features: Features) =>
    Array.from(rng.permutation(features.length).subarray(0, size), (k) => features[k]);
  const estimates = Array.from({ length: subsets }, () => discrepancy(draw(real), draw(generated)));
  const wrong = estimates.find((estimate) => !Number.isFinite(estimate));
  if (wrong !== undefined)
    throw new Error(
      `kernelDistance: the distance of a subset is ${wrong}, want features whose (xᵀy / d + 1)³ is finite`,
    );
  return spreadOf(estimates);
}

function discrepancy(x: Features, y: Features): number {
  const m = x.length;
  let [within, across] = [0, 0];
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < i; j++) within += 2 * (kernel(x[i], x[j]) + kernel(y[i], y[j]));
    for (let j = 0; j < m; j++) across += kernel(x[i], y[j]);
  }
  return within / (m * (m - 1)) - (2 * across) / m ** 2;
}

function kernel(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < x.length; k++) sum += x[k] * y[k];
  return (sum / x.length + 1) ** 3;
}
