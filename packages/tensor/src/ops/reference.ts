// How the references read operands on the host, whatever layout and type these have.

import type { NdArray } from "../op.ts";
import { collapse, isContiguous, sizeOf } from "../shape.ts";

/** Reads element i, counted row-major, of an operand. */
export function elementReader({ data, ...layout }: NdArray): (i: number) => number {
  const { offset } = layout;
  if (isContiguous(layout)) return (i) => data[offset + i];
  const [{ shape, strides }] = collapse([layout]);
  return (i) => {
    let at = offset;
    for (let k = shape.length - 1; k >= 0; k--) {
      at += (i % shape[k]) * strides[k];
      i = Math.floor(i / shape[k]);
    }
    return data[at];
  };
}

/** An operand as row-major doubles: what references with several nested loops read. */
export function rowMajor(x: NdArray): Float64Array {
  const size = sizeOf(x.shape);
  if (isContiguous(x)) return new Float64Array(x.data.subarray(x.offset, x.offset + size));
  const read = elementReader(x);
  return Float64Array.from({ length: size }, (_, i) => read(i));
}
