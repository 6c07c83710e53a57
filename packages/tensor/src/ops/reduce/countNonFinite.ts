// How many elements are NaN or infinite: what the search for the first such op reads, and the check of what a model predicts.

import { expectTensors } from "../../argument.ts";
import { defineOp, run } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { countNonFiniteWasm } from "./wasm.ts";
import { countNonFiniteWebgpu } from "./webgpu.ts";

/** A scalar (uint32), over all elements of all inputs. */
export const countNonFinite = defineOp({
  name: "countNonFinite",
  infer: () => [{ shape: [], dtype: "uint32" }],
  cpu([out], inputs) {
    let count = 0;
    for (const x of inputs) {
      const read = elementReader(x);
      for (let i = 0; i < sizeOf(x.shape); i++) if (!Number.isFinite(read(i))) count++;
    }
    out.data[out.offset] = count;
  },
  webgpu: countNonFiniteWebgpu,
  wasm: countNonFiniteWasm,
  cases: [
    { inputs: [[]] },
    { inputs: [[0, 3]] },
    { inputs: [{ shape: [5], values: [Number.NaN, 1, Infinity, -Infinity, 3.4e38] }] },
    { inputs: [{ shape: [70, 65], values: Array.from({ length: 4550 }, (_, k) => (k % 7 ? k : Number.NaN)) }] },
    {
      inputs: [
        { shape: [6], values: [0, 1, 2, 3, 4, Infinity] },
        { shape: [3], values: [Number.NaN, 1, Number.NaN] },
      ],
    },
  ],
  errors: [{ inputs: [{ shape: [2], dtype: "int32" }], error: "countNonFinite: types int32, want float32" }],
  tolerance: { ulp: 0 },
});

/**
 * How many elements of all tensors are NaN or infinite: a scalar, uint32. By their bits, since compilers may assume that all are numbers.
 * @throws Error for an empty list, and tensors that are not float32
 */
export function nonFiniteCount(tensors: readonly Tensor[]): Tensor {
  expectTensors("nonFiniteCount", "tensors", tensors);
  if (tensors.length === 0) throw new Error("nonFiniteCount: no tensors, want at least one");
  return run(countNonFinite, tensors, undefined)[0];
}
