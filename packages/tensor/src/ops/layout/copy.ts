// Copies: a view's elements in row-major order, a number in every element, and pieces joined along an axis.

import { bitsOf, elementOf } from "../../element.ts";
import { defineOp } from "../../op.ts";
import { type DType, formatShape, type Shape, ShapeError, sizeOf } from "../../shape.ts";
import { ANY } from "../../signature.ts";
import { elementwise } from "../elementwise/elementwise.ts";
import { elementReader } from "../reference.ts";
import { concatWasm, fillWasm } from "./wasm.ts";
import { concatWebgpu, fillWebgpu } from "./webgpu.ts";

/** A view's elements in row-major order. */
export const copy = elementwise({
  name: "copy",
  wgsl: "a",
  wasm: () => "copy",
  cpu: (a) => a,
  types: ANY,
  vjp: ([g]) => [g],
  saves: {},
  tolerance: { ulp: 0 },
});

export interface FillAttrs {
  readonly value: number;
  readonly dtype: DType;
}

/** A scalar; an integer or a bool by the rule of `cast`. */
export const fill = defineOp<FillAttrs>({
  name: "fill",
  infer: (_, { dtype }) => [{ shape: [], dtype }],
  cpu([out], _, { value, dtype }) {
    out.data[out.offset] = elementOf(value, dtype);
  },
  webgpu: fillWebgpu,
  perStep: ({ value, dtype }) => ({ bits: bitsOf(value, dtype) }),
  wasm: fillWasm,
  cases: [
    { inputs: [], attrs: { value: 0.1, dtype: "float32" } },
    { inputs: [], attrs: { value: -7, dtype: "int32" } },
    { inputs: [], attrs: { value: 16777217, dtype: "int32" } },
    { inputs: [], attrs: { value: 4294967295, dtype: "uint32" } },
    { inputs: [], attrs: { value: 1, dtype: "bool" } },
  ],
  tolerance: { ulp: 1 },
});

export interface ConcatAttrs {
  readonly axis: number;
}

/** The inputs one after another along an axis. */
export const concat = defineOp<ConcatAttrs>({
  name: "concat",
  types: ANY,
  infer(inputs, { axis }) {
    const [{ shape, dtype }] = inputs;
    for (const input of inputs) {
      const fits = input.shape.length === shape.length && input.shape.every((n, k) => k === axis || n === shape[k]);
      if (!fits) {
        const given = inputs.map((one) => formatShape(one.shape)).join(", ");
        throw new ShapeError(`concat: ${given} along axis ${axis}, want equal shapes but for that axis`);
      }
    }
    const length = inputs.reduce((sum, input) => sum + input.shape[axis], 0);
    return [{ shape: shape.with(axis, length), dtype }];
  },
  cpu([out], inputs, { axis }) {
    const row = sizeOf(out.shape.slice(axis));
    let start = 0;
    for (const input of inputs) {
      const piece = sizeOf(input.shape.slice(axis));
      const read = elementReader(input);
      for (let i = 0; i < sizeOf(input.shape); i++) {
        out.data[out.offset + Math.floor(i / piece) * row + start + (i % piece)] = read(i);
      }
      start += piece;
    }
  },
  webgpu: concatWebgpu,
  wasm: concatWasm,
  vjp([g], inputs, _, { axis }) {
    return g.split(
      inputs.map((input) => input.shape[axis]),
      axis,
    );
  },
  saves: {},
  cases: [
    {
      inputs: [
        [3, 4],
        [2, 4],
        [1, 4],
      ],
      attrs: { axis: 0 },
    },
    {
      inputs: [
        [2, 3, 5],
        [2, 1, 5],
      ],
      attrs: { axis: 1 },
    },
    {
      inputs: [
        [2, 33],
        [2, 0],
        [2, 64],
      ],
      attrs: { axis: 1 },
    },
  ] satisfies { inputs: Shape[]; attrs: ConcatAttrs }[],
  errors: [
    {
      inputs: [
        [2, 3],
        [3, 4],
      ],
      attrs: { axis: 0 },
      error: "concat: [2, 3], [3, 4] along axis 0",
    },
  ],
  tolerance: { ulp: 0 },
});
