// One number a sample: spread over a batch, or summed from it.

import { type Tensor, tensor } from "@pkg/tensor";

/** The numbers as [batch, 1, …, 1], to broadcast over `like`, [batch, ...]. */
export function perSample({ rank, backend }: Tensor, values: readonly number[]): Tensor {
  return tensor(values, { backend, shape: [values.length, ...new Array<number>(rank - 1).fill(1)] });
}

/** The sum over each sample's elements: [batch, ...] → [batch]. */
export function sumPerSample(x: Tensor): Tensor {
  return x.reshape([x.shape[0], sampleSize(x)]).sum(1);
}

/** The mean over each sample's elements: [batch, ...] → [batch]. */
export function meanPerSample(x: Tensor): Tensor {
  return sumPerSample(x).mul(1 / sampleSize(x));
}

/** d, the number of a sample's elements. */
export function sampleSize({ shape }: Tensor): number {
  return shape.slice(1).reduce((a, b) => a * b, 1);
}
