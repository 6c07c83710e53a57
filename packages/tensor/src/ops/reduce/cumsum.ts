// Running sums along an axis.

import { defineOp, float32, type Op } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import type { AxisAttrs } from "./reduce.ts";
import { cumsumWebgpu } from "./webgpu.ts";

/** out[…, r, …] = Σ x[…, q, …] over q ≤ r. */
export const cumsum: Op<AxisAttrs> = defineOp<AxisAttrs>({
  name: "cumsum",
  infer([x], { axis }) {
    if (!(axis >= 0 && axis < x.shape.length)) {
      throw new ShapeError(`cumsum: axis ${axis} of ${formatShape(x.shape)}, want one of its axes`);
    }
    return [float32(x.shape)];
  },
  cpu([out], [x], { axis }) {
    const read = elementReader(x);
    const length = x.shape[axis];
    const inner = sizeOf(x.shape.slice(axis + 1));
    const totals = new Float64Array(sizeOf(x.shape.slice(0, axis)) * inner);
    for (let i = 0; i < sizeOf(x.shape); i++) {
      const line = Math.floor(i / (length * inner)) * inner + (i % inner);
      totals[line] += read(i);
      out.data[out.offset + i] = totals[line];
    }
  },
  webgpu: cumsumWebgpu,
  wasm: null,
  vjp: ([g], _, __, { axis }) => [g.flip(axis).cumsum(axis).flip(axis)],
  saves: {},
  cases: [
    { inputs: [[7]], attrs: { axis: 0 } },
    { inputs: [[3, 65]], attrs: { axis: 1 } },
    { inputs: [[130, 5]], attrs: { axis: 0 } },
    { inputs: [[2, 64, 3]], attrs: { axis: 1 } },
    { inputs: [[2, 4200]], attrs: { axis: 1 } },
    { inputs: [[2, 0]], attrs: { axis: 1 } },
  ],
  errors: [
    { inputs: [[2, 3]], attrs: { axis: 2 }, error: "cumsum: axis 2 of [2, 3], want one of its axes" },
    { inputs: [[]], attrs: { axis: 0 }, error: "cumsum: axis 0 of [], want one of its axes" },
    { inputs: [{ shape: [2], dtype: "int32" }], attrs: { axis: 0 }, error: "cumsum: types int32, want float32" },
  ],
  tolerance: { terms: ([shape]) => Math.max(1, ...shape), abs: 1e-30 },
});
