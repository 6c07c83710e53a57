// The Euclidean norm of all elements of many tensors: what clipping a gradient over all parameters needs.

import globalNormKernel from "@pkg/kernels/reductions/global_norm.wgsl";
import { expectTensors } from "../../argument.ts";
import { defineOp, float32, type KernelCall, run, type Temporary, type View, type WasmCall } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../elementwise/elementwise.ts";

const CHUNK = 4096;
const WASM_CHUNK = 16384;

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
  gpu({ inputs, outputs: [out], temporary }) {
    const chunksOf = (size: number) => Math.max(1, Math.ceil(size / CHUNK));
    const counts = inputs.map(({ shape }) => chunksOf(sizeOf(shape)));
    const calls: KernelCall[] = [];
    const pass = (input: View | Temporary, size: number, to: View | Temporary, first: number, constants: object) => {
      calls.push({
        kernel: globalNormKernel,
        constants: { CHUNK: `${CHUNK}u`, ...constants },
        params: { size, first },
        bindings: [input, to],
        grid: { workgroups: chunksOf(size) },
      });
    };
    const OF_SUMS = { In: "vec2f", term: "return x;" };
    let count = counts.reduce((a, b) => a + b, 0);
    let sums = temporary(2 * count);
    let first = 0;
    for (const [k, input] of inputs.entries()) {
      pass(input, sizeOf(input.shape), sums, first, {});
      first += counts[k];
    }
    while (count > CHUNK) {
      const fewer = temporary(2 * chunksOf(count));
      pass(sums, count, fewer, 0, OF_SUMS);
      [sums, count] = [fewer, chunksOf(count)];
    }
    pass(sums, count, out, 0, { ...OF_SUMS, Out: "f32", result: "return norm(sums);" });
    return calls;
  },
  wasm({ inputs, outputs: [out], temporary }) {
    const counts = inputs.map(({ shape }) => Math.max(1, Math.ceil(sizeOf(shape) / WASM_CHUNK)));
    const all = counts.reduce((a, b) => a + b, 0);
    const sums = temporary(2 * all);
    let first = 0;
    const calls = inputs.map((input, k): WasmCall => {
      const args = { out: sums, first, all, x: input, size: sizeOf(input.shape), chunk: WASM_CHUNK };
      first += counts[k];
      return { kernel: "squares", rows: counts[k], grain: 1, args };
    });
    return [...calls, { kernel: "norm_of_squares", rows: 1, grain: 1, args: { out, sums, all } }];
  },
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
