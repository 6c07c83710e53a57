// The sizes of a matrix product, and the layouts from which it is made: what the reference and the rules of all backends share.

import { type Layout, sizeOf } from "../../shape.ts";

/** A product [m, k] × [k, n], `batches` times. */
export interface Product {
  readonly batches: number;
  readonly m: number;
  readonly n: number;
  /** In each of `runs` runs, all of which add to the same sums: a convolution's taps. */
  readonly k: number;
  readonly runs: number;
}

/** The product of two matrices, or of batches of them. */
export function productOf([a, b]: readonly Layout[]): Product {
  const [m, k] = a.shape.slice(-2);
  return { batches: sizeOf(a.shape.slice(0, -2)), m, n: b.shape[b.shape.length - 1], k, runs: 1 };
}

/** The axes before the last two. */
export function batchAxes({ shape, strides }: Layout): Layout {
  return { shape: shape.slice(0, -2), strides: strides.slice(0, -2), offset: 0 };
}

/** Whether input `index` of a product can be read by strides: along an axis of neighbours, which in a bias has to be the last. */
export function readsByStrides({ shape, strides }: Layout, index: number): boolean {
  if (index < 2) return strides.slice(-2).includes(1) || shape.slice(-2).includes(1);
  return strides[strides.length - 1] === 1 || shape[shape.length - 1] === 1;
}
