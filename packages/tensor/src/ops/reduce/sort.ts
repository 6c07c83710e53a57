// Sorting the last axis: blocks by counting, then sorted runs merged in pairs; equal elements keep their order.

import keys from "@pkg/kernels/functions/order_key.wgsl";
import blockKernel from "@pkg/kernels/sorting/sort_block.wgsl";
import mergeKernel from "@pkg/kernels/sorting/sort_merge.wgsl";
import { defineOp, type GpuCall, type KernelCall, type Op, type Temporary, type View } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { elementReader } from "../elementwise/elementwise.ts";
import { gatherCall, scatterAlong } from "../gather/gatherAlong.ts";

interface SortAttrs {
  readonly descending: boolean;
}

const BLOCK = 32;

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
  gpu: (call) => calls(call),
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

function calls({ inputs: [x], outputs: [values, indices], attrs, temporary }: GpuCall<SortAttrs>): KernelCall[] {
  const size = sizeOf(x.shape);
  const length = x.shape[x.shape.length - 1];
  const merges = Math.max(0, Math.ceil(Math.log2(length / BLOCK)));
  const spare = Array.from({ length: Math.min(2, merges) }, () => temporary(size));
  /** Where the k-th step leaves the order: the last one in the result. */
  const orderAfter = (k: number): View | Temporary => (k === merges ? indices : spare[k % 2]);
  const shared = {
    library: keys,
    grid: { threads: size },
    constants: { key: `return ${attrs.descending ? "~" : ""}order_key(bits);` },
  };
  return [
    {
      ...shared,
      kernel: blockKernel,
      constants: { ...shared.constants, BLOCK: `${BLOCK}u` },
      params: { size, length },
      bindings: [x, orderAfter(0)],
    },
    ...Array.from({ length: merges }, (_, k) => ({
      ...shared,
      kernel: mergeKernel,
      params: { size, length, run: BLOCK * 2 ** k },
      bindings: [x, orderAfter(k), orderAfter(k + 1)],
    })),
    gatherCall(x, indices, values, x.shape.length - 1),
  ];
}
