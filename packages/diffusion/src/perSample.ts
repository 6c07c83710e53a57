// One number a sample, for arithmetic with a batch.

import { type Tensor, tensor } from "@pkg/tensor";

/** The numbers as [batch, 1, …, 1], to broadcast over `like`, [batch, ...]. */
export function perSample({ rank, backend }: Tensor, values: readonly number[]): Tensor {
  return tensor(values, { backend, shape: [values.length, ...new Array<number>(rank - 1).fill(1)] });
}
