// Reductions over any axes: sum, max and argmax. Each pass folds one run of neighbouring axes, in a fixed order, so results repeat.

import { type Case, defineOp, float32, type NdArray, type Op } from "../../op.ts";
import { formatShape, ShapeError, sizeOf, stridesOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { reduceWasm } from "./wasm.ts";
import { argmaxWebgpu, type Combination, LARGEST, reduceWebgpu, SUM } from "./webgpu.ts";

/** Ascending distinct axes; the result keeps them with size 1. */
export interface ReduceAttrs {
  readonly axes: readonly number[];
}

interface Reduction extends Pick<Op<ReduceAttrs>, "name" | "vjp" | "saves" | "tolerance"> {
  readonly identity: number;
  readonly wgsl: Combination;
  /** The kernel in WebAssembly. */
  readonly wasm: string;
  readonly cpu: (a: number, b: number) => number;
}

export const sum = reduction({
  name: "sum",
  identity: 0,
  wgsl: SUM,
  wasm: "sum",
  cpu: (a, b) => a + b,
  vjp: ([g], [x]) => [g.expand(x.shape)],
  saves: {},
  tolerance: { terms: ([shape]) => sizeOf(shape), abs: 1e-30 },
});

export const max = reduction({
  name: "max",
  identity: Number.NEGATIVE_INFINITY,
  wgsl: LARGEST,
  wasm: "largest",
  cpu: Math.max,
  vjp([g], [x], [y], { axes }) {
    const isLargest = x.equal(y);
    return [isLargest.where(g.div(isLargest.cast("float32").sum(axes, { keepAxes: true })), 0)];
  },
  saves: { inputs: [0], outputs: [0] },
  tolerance: { ulp: 0 },
});

export interface AxisAttrs {
  readonly axis: number;
}

/** The index of the largest element along an axis, the first of equal ones, or of the first NaN; the axis keeps size 1. */
export const argmax = defineOp<AxisAttrs>({
  name: "argmax",
  infer([x], { axis }) {
    if (x.shape[axis] === 0) {
      throw new ShapeError(`argmax: axis ${axis} of ${formatShape(x.shape)}, want at least one element`);
    }
    return [{ shape: x.shape.with(axis, 1), dtype: "int32" }];
  },
  cpu([out], [x], { axis }) {
    const inner = sizeOf(x.shape.slice(axis + 1));
    const length = x.shape[axis];
    const read = elementReader(x);
    for (let at = 0; at < sizeOf(out.shape); at++) {
      const first = Math.floor(at / inner) * length * inner + (at % inner);
      let best = 0;
      for (let r = 1; r < length; r++) if (isAbove(read(first + r * inner), read(first + best * inner))) best = r;
      out.data[out.offset + at] = best;
    }
  },
  webgpu: argmaxWebgpu,
  wasm: null,
  cases: [
    { inputs: [[33]], attrs: { axis: 0 } },
    { inputs: [[2, 5, 3]], attrs: { axis: 1 } },
    { inputs: [{ shape: [3, 4], values: [1, 2, 2, 0, -1, -1, -1, -1, -4, -3, -2, -2] }], attrs: { axis: 1 } },
    {
      inputs: [{ shape: [2, 4], values: [1, Number.NaN, Infinity, Number.NaN, -Infinity, -Infinity, -3.4e38, 0] }],
      attrs: { axis: 1 },
    },
  ],
  errors: [{ inputs: [[2, 0]], attrs: { axis: 1 }, error: "argmax: axis 1 of [2, 0]" }],
  tolerance: { ulp: 0 },
});

/** Whether a number is above another; NaN is above all numbers, and not above another NaN. */
function isAbove(a: number, b: number): boolean {
  return a > b || (Number.isNaN(a) && !Number.isNaN(b));
}

function reduction({ name, identity, wgsl, wasm, cpu, ...rules }: Reduction): Op<ReduceAttrs> {
  const cases: Case<ReduceAttrs>[] = [
    { inputs: [[7]], attrs: { axes: [0] } },
    { inputs: [[129]], attrs: { axes: [0] } },
    { inputs: [[5, 33]], attrs: { axes: [1] } },
    { inputs: [[65, 6]], attrs: { axes: [0] } },
    { inputs: [[300, 32]], attrs: { axes: [0] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [0, 2] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [1, 3] } },
    { inputs: [[3, 4]], attrs: { axes: [0, 1] } },
  ];
  return defineOp<ReduceAttrs>({
    name,
    infer([x], { axes }) {
      if (name === "max" && axes.some((axis) => x.shape[axis] === 0)) {
        throw new ShapeError(
          `${name}: axes ${formatShape(axes)} of ${formatShape(x.shape)}, want at least one element`,
        );
      }
      return [float32(x.shape.map((n, k) => (axes.includes(k) ? 1 : n)))];
    },
    cpu([out], [x]) {
      reduceOnHost(out, x, identity, cpu);
    },
    webgpu: reduceWebgpu(wgsl),
    wasm: reduceWasm(wasm),
    ...rules,
    cases,
    errors: [
      { inputs: [{ shape: [2], dtype: "int32" }], attrs: { axes: [0] }, error: `${name}: types int32, want float32` },
      ...(name === "max"
        ? [{ inputs: [[2, 0]], attrs: { axes: [1] }, error: "max: axes [1] of [2, 0], want at least one element" }]
        : []),
    ],
  });
}

function reduceOnHost(out: NdArray, x: NdArray, identity: number, combine: (a: number, b: number) => number): void {
  const totals = new Float64Array(sizeOf(out.shape)).fill(identity);
  const target = stridesOf(out.shape);
  const source = stridesOf(x.shape);
  const read = elementReader(x);
  for (let i = 0; i < sizeOf(x.shape); i++) {
    let at = 0;
    for (const [k, n] of x.shape.entries()) if (out.shape[k] !== 1) at += (Math.floor(i / source[k]) % n) * target[k];
    totals[at] = combine(totals[at], read(i));
  }
  for (const [at, total] of totals.entries()) out.data[out.offset + at] = total;
}
