// Elements of an axis by index, each line along the axis with indices of its own, and the transpose: sums by index along the axis.

import { type CaseInput, defineOp, float32, type NdArray, type Op } from "../../op.ts";
import { formatShape, type Shape, ShapeError, type Spec, sameShape, sizeOf } from "../../shape.ts";
import { ANY } from "../../signature.ts";
import { elementReader } from "../reference.ts";
import { inside, missingOf } from "./gather.ts";
import { gatherAlongWebgpu, scatterAlongWebgpu } from "./webgpu.ts";

export interface GatherAlongAttrs {
  readonly axis: number;
}

export interface ScatterAlongAttrs extends GatherAlongAttrs {
  readonly length: number;
}

/**
 * Inputs x and indices (int32) of one shape but for the axis; output in the shape of indices: the element of x at that index along
 * the axis and at the same place along the others. An index outside reads what `gather` has for it.
 */
export const gatherAlong: Op<GatherAlongAttrs> = defineOp<GatherAlongAttrs>({
  name: "gatherAlong",
  types: ANY.map(([type]) => [type, "int32"]),
  infer([x, indices], { axis }) {
    checkOperands("gatherAlong", "x", x, indices, axis);
    return [{ shape: indices.shape, dtype: x.dtype }];
  },
  cpu([out], [x, indices], { axis }) {
    const read = elementReader(x);
    const missing = missingOf(x.dtype);
    for (const [to, from] of placesOf(indices, axis, x.shape[axis]).entries()) {
      out.data[out.offset + to] = from === null ? missing : read(from);
    }
  },
  webgpu: gatherAlongWebgpu,
  wasm: null,
  vjp: ([g], [x, indices], _, { axis }) => [
    g.apply(scatterAlong, [g, indices], { axis, length: x.shape[axis] })[0],
    null,
  ],
  saves: { inputs: [1] },
  cases: [
    { inputs: [[7], indexInput([4], 7)], attrs: { axis: 0 } },
    { inputs: [[5, 3], indexInput([2, 3], 5)], attrs: { axis: 0 } },
    { inputs: [[2, 6, 3], indexInput([2, 33, 3], 6)], attrs: { axis: 1 } },
    { inputs: [[4, 10], indexInput([4, 1], 10)], attrs: { axis: 1 } },
    { inputs: [[4, 10], indexInput([4, 0], 10)], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3], dtype: "int32", range: [-9, 9] }, indexInput([2, 5], 3)], attrs: { axis: 1 } },
  ],
  errors: [
    {
      inputs: [
        [2, 3],
        [2, 1],
      ],
      attrs: { axis: 1 },
      error: "gatherAlong: types float32, float32, want float32, int32 or int32, int32 or ",
    },
    { inputs: [[2, 3], indexInput([3, 1], 2)], attrs: { axis: 1 }, error: "gatherAlong: x [2, 3]" },
    { inputs: [[2, 3], indexInput([2], 2)], attrs: { axis: 1 }, error: "gatherAlong: x [2, 3]" },
  ],
  tolerance: { ulp: 0 },
});

/**
 * The transpose of gatherAlong: inputs values and indices (int32) of one shape; output with `length` elements along the axis, each
 * the sum of the values with its index, in their order; values of an index outside are in no sum. Each element reads all indices of
 * its line: made for short lines.
 */
export const scatterAlong: Op<ScatterAlongAttrs> = defineOp<ScatterAlongAttrs>({
  name: "scatterAlong",
  types: [["float32", "int32"]],
  infer([values, indices], { axis, length }) {
    checkOperands("scatterAlong", "values", values, indices, axis);
    if (!sameShape(values.shape, indices.shape)) {
      throw new ShapeError(
        `scatterAlong: values ${formatShape(values.shape)}, indices ${formatShape(indices.shape)}, want equal shapes`,
      );
    }
    if (!(Number.isInteger(length) && length >= 0)) {
      throw new ShapeError(`scatterAlong: length ${length}, want an integer that is at least 0`);
    }
    return [float32(values.shape.with(axis, length))];
  },
  cpu([out], [values, indices], { axis, length }) {
    const sums = new Float64Array(sizeOf(out.shape));
    const read = elementReader(values);
    for (const [from, to] of placesOf(indices, axis, length).entries()) if (to !== null) sums[to] += read(from);
    out.data.set(sums, out.offset);
  },
  webgpu: scatterAlongWebgpu,
  wasm: null,
  vjp: ([g], [, indices], _, { axis, length }) => [
    inside(indices, length, indices.rank).where(g.apply(gatherAlong, [g, indices], { axis })[0], 0),
    null,
  ],
  saves: { inputs: [1] },
  cases: [
    { inputs: [[4], { shape: [4], dtype: "int32", values: [2, 0, 2, 2] }], attrs: { axis: 0, length: 5 } },
    { inputs: [[2, 33, 3], indexInput([2, 33, 3], 6)], attrs: { axis: 1, length: 6 } },
    { inputs: [[4, 1], indexInput([4, 1], 65)], attrs: { axis: 1, length: 65 } },
    { inputs: [[4, 0], indexInput([4, 0], 3)], attrs: { axis: 1, length: 3 } },
    { inputs: [[4], { shape: [4], dtype: "int32", values: [2, -1, 1, 2] }], attrs: { axis: 0, length: 2 } },
  ],
  errors: [
    {
      inputs: [[2, 2], indexInput([2, 3], 2)],
      attrs: { axis: 1, length: 2 },
      error: "scatterAlong: values [2, 2], indices [2, 3], want equal shapes",
    },
    {
      inputs: [[2], indexInput([2], 2)],
      attrs: { axis: 0, length: 0.5 },
      error: "scatterAlong: length 0.5, want an integer that is at least 0",
    },
  ],
  tolerance: { terms: ([shape]) => Math.max(1, ...shape), abs: 1e-30 },
});

function indexInput(shape: Shape, length: number): CaseInput {
  return { shape, dtype: "int32", range: [0, length] };
}

function checkOperands(name: string, what: string, x: Spec, indices: Spec, axis: number): void {
  const fits =
    x.shape.length === indices.shape.length &&
    axis < x.shape.length &&
    sameShape(x.shape.with(axis, 0), indices.shape.with(axis, 0));
  if (!fits) {
    throw new ShapeError(
      `${name}: ${what} ${formatShape(x.shape)}, indices ${formatShape(indices.shape)} along axis ${axis}, want equal shapes but for that axis`,
    );
  }
}

/** For each index, row-major, the place of the element that it means in a tensor with `length` of them; null for one outside. */
function placesOf(indices: NdArray, axis: number, length: number): (number | null)[] {
  const inner = sizeOf(indices.shape.slice(axis + 1));
  const count = indices.shape[axis];
  const read = elementReader(indices);
  return Array.from({ length: sizeOf(indices.shape) }, (_, n) => {
    const index = read(n);
    if (index < 0 || index >= length) return null;
    return (Math.floor(n / (inner * count)) * length + index) * inner + (n % inner);
  });
}
