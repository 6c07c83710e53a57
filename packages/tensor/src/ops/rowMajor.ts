// An operand on the host as row-major doubles: what rules with several nested loops read, whatever layout and type it has.

import type { NdArray } from "../op.ts";
import { isContiguous, sizeOf } from "../shape.ts";
import { elementReader } from "./elementwise/elementwise.ts";

export function rowMajor(x: NdArray): Float64Array {
  const size = sizeOf(x.shape);
  if (isContiguous(x)) return new Float64Array(x.data.subarray(x.offset, x.offset + size));
  const read = elementReader(x);
  return Float64Array.from({ length: size }, (_, i) => read(i));
}
