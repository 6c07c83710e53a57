// One number per sample: spread over a batch, or summed from it.

import { ShapeError, type Tensor, tensor } from "@pkg/tensor";
import { expectKind } from "../arguments.ts";

/** The numbers as [batch, 1, …, 1], to broadcast over `like`, [batch, ...]. */
export function perSample({ shape, rank, backend }: Tensor, values: readonly number[]): Tensor {
  return tensor(values, { backend, shape: [shape[0], ...new Array<number>(rank - 1).fill(1)] });
}

/** [batch] numbers as [batch, 1, …, 1], to broadcast over `like`, [batch, ...]. */
export function asColumn({ shape, rank }: Tensor, values: Tensor): Tensor {
  return values.reshape([shape[0], ...new Array<number>(rank - 1).fill(1)]);
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

/** @throws Error unless there are samples: the mean over none has no value */
export function checkBatch(name: string, { shape }: Tensor): void {
  if (!(shape[0] > 0)) throw new Error(`${name}: x is [${shape}], want [batch, ...] of at least one sample`);
}

/** @throws Error unless there is a time, or what `what` names, for each sample: one alone would broadcast */
export function checkPerSample(name: string, { shape }: Tensor, values: readonly unknown[], what = "times"): void {
  if (values.length !== shape[0])
    throw new Error(`${name}: ${values.length} ${what} for a batch of ${shape[0]}, want one per sample`);
}

/** @throws ShapeError unless a prediction has the shape of x, which it would broadcast to otherwise */
export function checkPredicted(name: string, predicted: Tensor, x: Tensor): void {
  expectKind(name, "output", predicted, "the prediction");
  const { shape } = predicted;
  if (`${shape}` !== `${x.shape}`)
    throw new ShapeError(`${name}: the prediction is [${shape}] for x [${x.shape}], want x's shape`);
}
