// The sum of the squares of all elements of many tensors: what the norm of a gradient over all parameters needs.

import sumSquaresKernel from "@pkg/kernels/sum_squares.wgsl";
import { defineOp, float32, type KernelCall, run, type Temporary, type View, type WasmCall } from "../op.ts";
import { sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { linearGrid } from "./dispatch.ts";
import { elementReader } from "./elementwise.ts";

const CHUNK = 4096;
const WASM_CHUNK = 16384;

/** Σᵢ Σ xᵢ² over any number of tensors of any shapes: one dispatch each, and one or two more. */
export const sumSquares = defineOp({
  name: "sumSquares",
  infer: () => [float32([])],
  cpu([out], inputs) {
    let total = 0;
    for (const input of inputs) {
      const read = elementReader(input);
      for (let i = 0; i < sizeOf(input.shape); i++) total += read(i) ** 2;
    }
    out.data[out.offset] = total;
  },
  gpu({ inputs, outputs: [out], temporary }) {
    const chunksOf = (size: number) => Math.max(1, Math.ceil(size / CHUNK));
    const counts = inputs.map(({ shape }) => chunksOf(sizeOf(shape)));
    const calls: KernelCall[] = [];
    const pass = (input: View | Temporary, size: number, to: View | Temporary, first: number, term: string) => {
      calls.push({
        kernel: sumSquaresKernel,
        constants: { CHUNK: `${CHUNK}u`, term: `return ${term};` },
        params: { size, first },
        bindings: [input, to],
        workgroups: linearGrid(chunksOf(size), 1),
      });
    };
    let sums = temporary(counts.reduce((a, b) => a + b, 0));
    let first = 0;
    for (const [k, input] of inputs.entries()) {
      pass(input, sizeOf(input.shape), sums, first, "x * x");
      first += counts[k];
    }
    while (sums.size > CHUNK) {
      const fewer = temporary(chunksOf(sums.size));
      pass(sums, sums.size, fewer, 0, "x");
      sums = fewer;
    }
    pass(sums, sums.size, out, 0, "x");
    return calls;
  },
  wasm({ inputs, outputs: [out], temporary }) {
    const counts = inputs.map(({ shape }) => Math.max(1, Math.ceil(sizeOf(shape) / WASM_CHUNK)));
    const all = counts.reduce((a, b) => a + b, 0);
    const sums = temporary(all);
    let first = 0;
    const calls = inputs.map((input, k): WasmCall => {
      const args = [sums, first, input, sizeOf(input.shape), WASM_CHUNK];
      first += counts[k];
      return { kernel: "squares", rows: counts[k], grain: 1, args };
    });
    return [...calls, { kernel: "sum", rows: 1, grain: 1, args: [out, sums, all, all, 1] }];
  },
  vjp: ([g], inputs) => inputs.map((x) => x.mul(g.mul(2))),
  errors: [{ inputs: [[2], { shape: [2], dtype: "int32" }], error: "sumSquares: types float32, int32, want float32" }],
  cases: [{ inputs: [[7]] }, { inputs: [[3, 5], [4097], []] }, { inputs: [[0], [64, 65]] }],
  tolerance: { terms: (shapes) => shapes.reduce((sum, shape) => sum + sizeOf(shape), 0), abs: 1e-30 },
});

/** Σ x² over all elements of all tensors, a scalar. @throws Error for an empty list */
export function sumOfSquares(tensors: readonly Tensor[]): Tensor {
  if (tensors.length === 0) throw new Error("sumOfSquares: no tensors, want at least one");
  return run(sumSquares, tensors, undefined)[0];
}
