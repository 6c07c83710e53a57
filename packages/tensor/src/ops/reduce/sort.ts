// Sorting the last axis: blocks by counting, then sorted runs merged in pairs; equal elements keep their order.

import { defineOp, type Op } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { scatterAlong } from "../gather/gatherAlong.ts";
import { elementReader } from "../reference.ts";
import { sortWebgpu } from "./sortWebgpu.ts";

export interface SortAttrs {
  readonly descending: boolean;
}

/** Outputs: the elements of each row in order (NaN counts as the largest), and the indices (int32) that they had. */
export const sort: Op<SortAttrs> = defineOp<SortAttrs>({
  name: "sort",
  infer([x]) {
    if (x.shape.length === 0) throw new ShapeError(`sort: shape ${formatShape(x.shape)}, want a last axis`);
    return [
      { shape: x.shape, dtype: "float32" },
      { shape: x.shape, dtype: "int32" },
    ];
  },
  cpu([values, indices], [x], { descending }) {
    const length = x.shape[x.shape.length - 1];
    const read = elementReader(x);
    const size = sizeOf(x.shape);
    for (let first = 0; first < size; first += length) {
      const row = Array.from({ length }, (_, j) => read(first + j));
      const order = row.map((_, j) => j).sort((a, b) => (descending ? -1 : 1) * difference(row[a], row[b]) || a - b);
      for (const [j, from] of order.entries()) {
        values.data[values.offset + first + j] = row[from];
        indices.data[indices.offset + first + j] = from;
      }
    }
  },
  webgpu: sortWebgpu,
  wasm: null,
  vjp: ([g], [x], [, indices]) => {
    const axis = x.rank - 1;
    return [g.apply(scatterAlong, [g, indices], { axis, length: x.shape[axis] })[0]];
  },
  saves: { outputs: [1] },
  cases: [
    { inputs: [[9]], attrs: { descending: false } },
    { inputs: [[3, 33]], attrs: { descending: true } },
    { inputs: [[2, 1]], attrs: { descending: false } },
    { inputs: [[2, 2, 129]], attrs: { descending: false } },
    { inputs: [[2, 0]], attrs: { descending: false } },
  ],
  errors: [
    { inputs: [[]], attrs: { descending: false }, error: "sort: shape [], want a last axis" },
    {
      inputs: [{ shape: [2], dtype: "int32" }],
      attrs: { descending: false },
      error: "sort: types int32, want float32",
    },
  ],
  tolerance: { ulp: 0 },
});

/** What comparison functions return; NaN equals NaN and is above all else. */
function difference(a: number, b: number): number {
  return Number.isNaN(a) || Number.isNaN(b)
    ? Number(Number.isNaN(a)) - Number(Number.isNaN(b))
    : Number(a > b) - Number(a < b);
}
