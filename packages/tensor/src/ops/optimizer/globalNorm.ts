// The Euclidean norm of all elements of many tensors: what clipping a gradient over all parameters needs.

import { expectTensors } from "../../argument.ts";
import { defineOp, float32, run } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { globalNormWasm } from "./wasm.ts";
import { globalNormWebgpu } from "./webgpu.ts";

/**
 * √(Σᵢ Σ xᵢ²) over any number of tensors of any shapes: one dispatch each, and one or two more. Beside the squares those of 2⁻⁸⁰ x are
 * added up; they count where the others overflow float32, so that the norm is right whenever float32 holds it.
 */
export const globalNorm = defineOp({
  name: "globalNorm",
  infer: () => [float32([])],
  cpu([out], inputs) {
    let total = 0;
    for (const input of inputs) {
      const read = elementReader(input);
      for (let i = 0; i < sizeOf(input.shape); i++) total += read(i) ** 2;
    }
    out.data[out.offset] = Math.sqrt(total);
  },
  webgpu: globalNormWebgpu,
  wasm: globalNormWasm,
  vjp([g], inputs, [norm]) {
    const isZero = norm.equal(0);
    const weight = isZero.where(0, g.div(isZero.where(1, norm)));
    return inputs.map((x) => x.mul(weight));
  },
  errors: [{ inputs: [[2], { shape: [2], dtype: "int32" }], error: "globalNorm: types float32, int32, want float32" }],
  cases: [{ inputs: [[7]] }, { inputs: [[3, 5], [4097], []] }, { inputs: [[0], [64, 65]] }],
  tolerance: { terms: (shapes) => shapes.reduce((sum, shape) => sum + sizeOf(shape), 0), abs: 1e-30 },
});

/**
 * The Euclidean norm over all elements of all tensors, a scalar; its gradient where it is 0 is 0.
 * @throws Error for an empty list, and tensors that are not float32
 */
export function gradientNorm(tensors: readonly Tensor[]): Tensor {
  expectTensors("gradientNorm", "tensors", tensors);
  if (tensors.length === 0) throw new Error("gradientNorm: no tensors, want at least one");
  return run(globalNorm, tensors, undefined)[0];
}
