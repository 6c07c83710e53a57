// Running sums along an axis.

import cumsumKernel from "@pkg/kernels/reductions/cumsum.wgsl";
import reduceKernel from "@pkg/kernels/reductions/reduce.wgsl";
import { defineOp, float32, type GpuCall, type KernelCall, type Op, type Temporary, type View } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { elementReader } from "../elementwise/elementwise.ts";

const CHUNK = 64;

/** out[…, r, …] = Σ x[…, q, …] over q ≤ r. */
export const cumsum: Op<{ readonly axis: number }> = defineOp<{ readonly axis: number }>({
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
  gpu: (call) => scan(call),
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

/** Sums of the chunks, running sums of those, and running sums within each chunk on top. */
function scan({ inputs: [x], outputs: [out], attrs: { axis }, temporary }: GpuCall<{ axis: number }>): KernelCall[] {
  const outer = sizeOf(x.shape.slice(0, axis));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const scanLine = (from: View | Temporary, to: View | Temporary, length: number): KernelCall[] => {
    const chunks = Math.ceil(length / CHUNK);
    const size = outer * chunks * inner;
    const calls: KernelCall[] = [];
    let before = from;
    if (chunks > 1) {
      const sums = temporary(size);
      calls.push({
        kernel: reduceKernel,
        constants: { CHUNK: `${CHUNK}u` },
        params: { size, reduced: length, chunks, inner },
        bindings: [from, sums],
        grid: { threads: size },
      });
      before = temporary(size);
      calls.push(...scanLine(sums, before, chunks));
    }
    calls.push({
      kernel: cumsumKernel,
      constants: { HAS_BEFORE: chunks > 1, CHUNK: `${CHUNK}u` },
      params: { size, length, chunks, inner },
      bindings: [from, before, to],
      grid: { threads: size },
    });
    return calls;
  };
  return scanLine(x, out, x.shape[axis]);
}
