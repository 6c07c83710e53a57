// Rows of a table by index, their transpose (sums of rows by index), and indices as indicator vectors.

import { type CaseInput, defineOp, float32, type NdArray, type Op } from "../../op.ts";
import { type DType, formatShape, type Shape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import { ANY } from "../../signature.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { gatherWebgpu, oneHotWebgpu, scatterAddWebgpu } from "./webgpu.ts";

/**
 * Inputs table [rows, ...rest] and indices (int32) of any shape; output [...indices, ...rest]. An index outside of the table reads
 * NaN of float32, 0 of integers and false of bool: a GPU cannot raise an error, and NaN is found by `detectNonFinite`.
 */
export const gather: Op = defineOp({
  name: "gather",
  types: ANY.map(([type]) => [type, "int32"]),
  infer([table, indices]) {
    if (table.shape.length === 0) throw new ShapeError(`gather: table ${formatShape(table.shape)}, want [rows, ...]`);
    return [{ shape: [...indices.shape, ...table.shape.slice(1)], dtype: table.dtype }];
  },
  cpu([out], [table, indices]) {
    const width = sizeOf(table.shape.slice(1));
    const read = elementReader(table);
    const missing = missingOf(table.dtype);
    for (const [n, row] of rowsOf(indices).entries()) {
      const isInside = row >= 0 && row < table.shape[0];
      for (let j = 0; j < width; j++) out.data[out.offset + n * width + j] = isInside ? read(row * width + j) : missing;
    }
  },
  webgpu: gatherWebgpu,
  wasm: null,
  vjp: ([g], [table, indices]) => [g.apply(scatterAdd, [g, indices], { rows: table.shape[0] })[0], null],
  saves: { inputs: [1] },
  cases: [
    { inputs: [[5, 3], indexInput([4], 5)] },
    { inputs: [[7, 2, 4], indexInput([2, 3], 7)] },
    { inputs: [[6], indexInput([], 6)] },
    { inputs: [{ shape: [4, 2], dtype: "int32", range: [-9, 9] }, indexInput([5], 4)] },
  ],
  errors: [{ inputs: [[3, 2], [2]], error: "gather: types float32, float32, want float32, int32 or int32, int32 or " }],
  tolerance: { ulp: 0 },
});

export interface ScatterAddAttrs {
  readonly rows: number;
}

/**
 * The transpose of gather: inputs values [...indices, ...rest] and indices (int32); output [rows, ...rest], each row the sum of the
 * values with its index, in their order; values of an index outside of the rows are in no sum. It reads all indices for every row:
 * made for tables of labels, not of vocabularies.
 */
export const scatterAdd: Op<ScatterAddAttrs> = defineOp<ScatterAddAttrs>({
  name: "scatterAdd",
  types: [["float32", "int32"]],
  infer([values, indices], { rows }) {
    const leading = values.shape.slice(0, indices.shape.length);
    if (!sameShape(leading, indices.shape)) {
      throw new ShapeError(
        `scatterAdd: values ${formatShape(values.shape)}, indices ${formatShape(indices.shape)}, want [...indices, ...]`,
      );
    }
    if (!Number.isInteger(rows) || rows < 0) {
      throw new ShapeError(`scatterAdd: rows ${rows}, want an integer that is at least 0`);
    }
    return [float32([rows, ...values.shape.slice(indices.shape.length)])];
  },
  cpu([out], [values, indices], { rows }) {
    const width = sizeOf(out.shape.slice(1));
    const sums = new Float64Array(sizeOf(out.shape));
    const read = elementReader(values);
    for (const [n, row] of rowsOf(indices).entries()) {
      if (row < 0 || row >= rows) continue;
      for (let j = 0; j < width; j++) sums[row * width + j] += read(n * width + j);
    }
    out.data.set(sums, out.offset);
  },
  webgpu: scatterAddWebgpu,
  wasm: null,
  vjp: ([g], [values, indices], _, { rows }) => [
    inside(indices, rows, values.rank).where(g.gather(indices), 0), // what is in no sum has no gradient
    null,
  ],
  saves: { inputs: [1] },
  cases: [
    { inputs: [[4, 3], { shape: [4], dtype: "int32", values: [2, 0, 2, 2] }], attrs: { rows: 5 } },
    { inputs: [[2, 3, 2, 4], indexInput([2, 3], 3)], attrs: { rows: 3 } },
    { inputs: [[33], indexInput([33], 2)], attrs: { rows: 2 } },
    { inputs: [[4, 2], { shape: [4], dtype: "int32", values: [-1, 1, 2, 1] }], attrs: { rows: 2 } },
  ],
  errors: [
    { inputs: [[2, 2], indexInput([3], 2)], attrs: { rows: 2 }, error: "scatterAdd: values [2, 2], indices [3]" },
  ],
  tolerance: { terms: (inputs) => sizeOf(inputs[1]), abs: 1e-30 },
});

export interface OneHotAttrs {
  readonly depth: number;
}

/** Indices (int32) → float32 [...indices, depth]: 1 at each index and 0 elsewhere, also for an index outside of 0 … depth − 1. */
export const oneHot: Op<OneHotAttrs> = defineOp<OneHotAttrs>({
  name: "oneHot",
  types: [["int32"]],
  infer([indices], { depth }) {
    if (!(Number.isInteger(depth) && depth > 0)) throw new Error(`oneHot: depth ${depth}, want an integer above 0`);
    return [float32([...indices.shape, depth])];
  },
  cpu([out], [indices], { depth }) {
    const read = elementReader(indices);
    for (let i = 0; i < sizeOf(out.shape); i++) {
      out.data[out.offset + i] = Number(read(Math.floor(i / depth)) === i % depth);
    }
  },
  webgpu: oneHotWebgpu,
  wasm: null,
  cases: [
    { inputs: [indexInput([5], 3)], attrs: { depth: 3 } },
    { inputs: [{ shape: [2, 2], dtype: "int32", values: [-1, 0, 4, 1] }], attrs: { depth: 4 } },
  ],
  errors: [{ inputs: [[2]], attrs: { depth: 3 }, error: "oneHot: types float32, want int32" }],
  tolerance: { ulp: 0 },
});

/** Where indices lie in [0, length), to broadcast over values of a rank whose first axes are theirs. */
export function inside(indices: Tensor, length: number, rank: number): Tensor {
  const isInside = indices.greaterEqual(0).logicalAnd(indices.less(length));
  return isInside.reshape([...indices.shape, ...new Array<number>(rank - indices.rank).fill(1)]);
}

function indexInput(shape: Shape, rows: number): CaseInput {
  return { shape, dtype: "int32", range: [0, rows] };
}

/** What stands for an element that an index outside asks for. */
export function missingOf(dtype: DType): number {
  return dtype === "float32" ? Number.NaN : 0;
}

/** The indices in row-major order. */
function rowsOf(indices: NdArray): number[] {
  const read = elementReader(indices);
  return Array.from({ length: sizeOf(indices.shape) }, (_, n) => read(n));
}
