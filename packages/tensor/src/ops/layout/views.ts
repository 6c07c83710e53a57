// Ops that re-read a tensor's storage with another layout (reshape, permute, expand, slice), and unslice, slice's transpose.

import { expectList } from "../../argument.ts";
import { defineOp, type Op } from "../../op.ts";
import {
  checkShape,
  contiguousLayout,
  formatShape,
  isContiguous,
  type Shape,
  ShapeError,
  sameShape,
  sizeOf,
  stridesOf,
} from "../../shape.ts";
import { ANY } from "../../signature.ts";
import { elementReader } from "../reference.ts";
import { unsliceWasm } from "./wasm.ts";
import { unsliceWebgpu } from "./webgpu.ts";

/** All of an axis, one index of it, or [from, to, step]. */
export type Slice = null | number | readonly [from?: number | null, to?: number | null, step?: number];

/** For each axis the first index, the step (not 0) and the number of indices. */
export interface SliceAttrs {
  readonly starts: readonly number[];
  readonly steps: readonly number[];
  /** slice: the result's shape. unslice: the same, which is the result's shape there too. */
  readonly shape: Shape;
}

export const reshape = defineOp<{ readonly shape: Shape }>({
  name: "reshape",
  types: ANY,
  infer: ([x], { shape }) => [{ shape: resolveShape(x.shape, shape), dtype: x.dtype }],
  view(input, { shape }) {
    if (!isContiguous(input)) return null;
    return { ...contiguousLayout(resolveShape(input.shape, shape)), offset: input.offset };
  },
  vjp: ([g], [x]) => [g.reshape(x.shape)],
  saves: {},
  cheap: true,
  cases: [
    { inputs: [[2, 6]], attrs: { shape: [3, -1] } },
    { inputs: [[1]], attrs: { shape: [] } },
    { inputs: [[0, 4]], attrs: { shape: [4, 0] } },
    { inputs: [[2, 3, 4, 5]], attrs: { shape: [6, 1, 20] } },
  ],
  errors: [
    { inputs: [[2, 3]], attrs: { shape: [4] }, error: "reshape: [2, 3] (6 elements) to [4]" },
    { inputs: [[2, 3]], attrs: { shape: [-1, -1] }, error: "reshape: [2, 3] (6 elements) to [-1, -1]" },
  ],
  tolerance: { ulp: 0 },
});

export const permute = defineOp<{ readonly axes: readonly number[] }>({
  name: "permute",
  types: ANY,
  infer([x], { axes }) {
    if (axes.length !== x.shape.length || !axes.every((_, k) => axes.includes(k))) {
      throw new ShapeError(`permute: axes ${formatShape(axes)} of ${formatShape(x.shape)}, want each axis once`);
    }
    return [{ shape: axes.map((axis) => x.shape[axis]), dtype: x.dtype }];
  },
  view: ({ shape, strides, offset }, { axes }) => ({
    shape: axes.map((axis) => shape[axis]),
    strides: axes.map((axis) => strides[axis]),
    offset,
  }),
  vjp: ([g], _, __, { axes }) => [g.permute(axes.map((_, k) => axes.indexOf(k)))],
  saves: {},
  cases: [
    { inputs: [[3, 5]], attrs: { axes: [1, 0] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [3, 0, 2, 1] } },
    { inputs: [[2, 1, 3, 2, 1, 2]], attrs: { axes: [5, 4, 3, 2, 1, 0] } },
  ],
  errors: [{ inputs: [[2, 3]], attrs: { axes: [0, 0] }, error: "permute: axes [0, 0] of [2, 3]" }],
  tolerance: { ulp: 0 },
});

export const expand = defineOp<{ readonly shape: Shape }>({
  name: "expand",
  types: ANY,
  infer([x], { shape }) {
    const added = shape.length - x.shape.length;
    if (added < 0 || x.shape.some((n, k) => n !== 1 && n !== shape[added + k])) {
      throw new ShapeError(
        `expand: ${formatShape(x.shape)} to ${formatShape(shape)}, want axes equal or 1, from the right`,
      );
    }
    return [{ shape: checkShape("expand", shape), dtype: x.dtype }];
  },
  view(input, { shape }) {
    const added = shape.length - input.shape.length;
    const stretched = (k: number) => k < added || (input.shape[k - added] === 1 && shape[k] !== 1);
    return { shape, strides: shape.map((_, k) => (stretched(k) ? 0 : input.strides[k - added])), offset: input.offset };
  },
  vjp([g], [x]) {
    const added = g.rank - x.rank;
    const summed = g.shape.flatMap((n, k) => (k < added || (x.shape[k - added] === 1 && n !== 1) ? [k] : []));
    return [g.sum(summed).reshape(x.shape)];
  },
  saves: {},
  cases: [
    { inputs: [[]], attrs: { shape: [3, 2] } },
    { inputs: [[5]], attrs: { shape: [4, 5] } },
    { inputs: [[3, 1, 4]], attrs: { shape: [2, 3, 7, 4] } },
    { inputs: [[1, 3]], attrs: { shape: [0, 3] } },
  ],
  errors: [{ inputs: [[3]], attrs: { shape: [4] }, error: "expand: [3] to [4]" }],
  tolerance: { ulp: 0 },
});

export const slice: Op<SliceAttrs> = defineOp<SliceAttrs>({
  name: "slice",
  types: ANY,
  infer: ([x], { starts, steps, shape }) => {
    checkInside("slice", x.shape, { starts, steps, shape });
    return [{ shape, dtype: x.dtype }];
  },
  view: ({ strides, offset }, { starts, steps, shape }) => ({
    shape,
    strides: strides.map((stride, k) => stride * steps[k]),
    offset: sizeOf(shape) === 0 ? offset : offset + strides.reduce((sum, stride, k) => sum + stride * starts[k], 0),
  }),
  vjp: ([g], [x], _, { starts, steps }) => g.apply(unslice, [g], { starts, steps, shape: x.shape }),
  saves: {},
  cases: [
    { inputs: [[7]], attrs: { starts: [2], steps: [1], shape: [4] } },
    { inputs: [[7, 5]], attrs: { starts: [6, 1], steps: [-2, 3], shape: [4, 2] } },
    { inputs: [[3, 4, 6]], attrs: { starts: [0, 3, 0], steps: [1, -1, 2], shape: [3, 4, 3] } },
    { inputs: [[4]], attrs: { starts: [4], steps: [1], shape: [0] } },
  ],
  errors: [
    { inputs: [[4]], attrs: { starts: [2], steps: [1], shape: [3] }, error: "slice: indices 2 to 4 of axis 0 of [4]" },
  ],
  tolerance: { ulp: 0 },
});

/** Zeros of a given shape, in which the input stands at the indices that a slice would have read. */
export const unslice: Op<SliceAttrs> = defineOp<SliceAttrs>({
  name: "unslice",
  types: ANY,
  infer([x], { starts, steps, shape }) {
    checkInside("unslice", checkShape("unslice", shape), { starts, steps, shape: x.shape });
    return [{ shape, dtype: x.dtype }];
  },
  cpu([out], [x], { starts, steps }) {
    const strides = stridesOf(out.shape);
    const inner = stridesOf(x.shape);
    const read = elementReader(x);
    out.data.fill(0, out.offset, out.offset + sizeOf(out.shape));
    for (let i = 0; i < sizeOf(x.shape); i++) {
      let at = out.offset;
      for (const [k, n] of x.shape.entries())
        at += (starts[k] + (Math.floor(i / inner[k]) % n) * steps[k]) * strides[k];
      out.data[at] = read(i);
    }
  },
  webgpu: unsliceWebgpu,
  wasm: unsliceWasm,
  vjp: ([g], [x], _, { starts, steps }) => g.apply(slice, [g], { starts, steps, shape: x.shape }),
  saves: {},
  cases: [
    { inputs: [[4]], attrs: { starts: [2], steps: [1], shape: [7] } },
    { inputs: [[4, 2]], attrs: { starts: [6, 1], steps: [-2, 3], shape: [7, 5] } },
    { inputs: [[3, 4, 33]], attrs: { starts: [0, 3, 0], steps: [1, -1, 2], shape: [3, 4, 66] } },
    { inputs: [[0, 2]], attrs: { starts: [0, 0], steps: [1, 1], shape: [3, 2] } },
  ],
  errors: [
    {
      inputs: [[3]],
      attrs: { starts: [2], steps: [1], shape: [4] },
      error: "unslice: indices 2 to 4 of axis 0 of [4], want them inside",
    },
  ],
  tolerance: { ulp: 0 },
});

/** @throws ShapeError for indices outside of what is sliced */
function checkInside(name: string, outer: Shape, { starts, steps, shape }: SliceAttrs): void {
  for (const [k, n] of shape.entries()) {
    const last = starts[k] + (n - 1) * steps[k];
    if (n > 0 && (Math.min(starts[k], last) < 0 || Math.max(starts[k], last) >= outer[k])) {
      throw new ShapeError(
        `${name}: indices ${starts[k]} to ${last} of axis ${k} of ${formatShape(outer)}, want them inside`,
      );
    }
  }
}

/** A slice as users write it, with NumPy's rules for negative and missing bounds. @throws ShapeError */
export function resolveSlices(shape: Shape, parts: readonly Slice[]): { view: SliceAttrs; dropped: number[] } {
  if (parts.length > shape.length) {
    throw new ShapeError(`slice: ${parts.length} parts of ${formatShape(shape)}, want at most ${shape.length}`);
  }
  const resolved = shape.map((n, k) => resolveSlice(n, k, parts[k] ?? []));
  return {
    view: {
      starts: resolved.map(({ start }) => start),
      steps: resolved.map(({ step }) => step),
      shape: resolved.map(({ count }) => count),
    },
    dropped: shape.flatMap((_, k) => (typeof parts[k] === "number" ? [k] : [])),
  };
}

function resolveSlice(
  n: number,
  axis: number,
  part: Exclude<Slice, null>,
): { start: number; step: number; count: number } {
  if (typeof part === "number") {
    const index = part < 0 ? part + n : part;
    if (!Number.isInteger(part) || index < 0 || index >= n) {
      throw new ShapeError(`slice: index ${part} of axis ${axis}, want an integer in [${-n}, ${n - 1}]`);
    }
    return { start: index, step: 1, count: 1 };
  }
  expectList("slice", `part ${axis}`, part, "null, an index, or [from, to, step]");
  const [from, to, step = 1] = part;
  if (!Number.isInteger(step) || step === 0 || ![from ?? 0, to ?? 0].every(Number.isInteger)) {
    throw new ShapeError(`slice: [${from}, ${to}, ${step}] of axis ${axis}, want integers and a step that is not 0`);
  }
  const [lowest, highest] = step > 0 ? [0, n] : [-1, n - 1];
  const bound = (value: number) => Math.min(Math.max(value < 0 ? value + n : value, lowest), highest);
  const start = from == null ? (step > 0 ? 0 : n - 1) : bound(from);
  const end = to == null ? (step > 0 ? n : -1) : bound(to);
  return { start, step, count: Math.max(0, Math.ceil((end - start) / step)) };
}

/** The `unslice` that puts `amounts[k]` = [before, after] zeros around axis k. @throws ShapeError */
export function padding(shape: Shape, amounts: readonly (readonly [number, number])[]): SliceAttrs {
  expectList("pad", "amounts", amounts, "[before, after] for each axis, such as [[1, 1]]");
  if (amounts.length !== shape.length || !amounts.every(isPair)) {
    throw new ShapeError(
      `pad: amounts ${JSON.stringify(amounts)} for ${formatShape(shape)}, want two integers ≥ 0 per axis`,
    );
  }
  return {
    starts: amounts.map(([before]) => before),
    steps: shape.map(() => 1),
    shape: shape.map((n, k) => n + amounts[k][0] + amounts[k][1]),
  };
}

function isPair(amounts: unknown): boolean {
  return Array.isArray(amounts) && amounts.length === 2 && amounts.every((n) => Number.isInteger(n) && n >= 0);
}

/** [from, to] of the pieces of an axis of n. @throws ShapeError when the sizes do not add up to n */
export function splitBounds(n: number, sizes: number | readonly number[]): [number, number][] {
  if (typeof sizes !== "number" || !(Number.isInteger(sizes) && sizes > 0)) {
    expectList("split", "sizes", sizes, "a positive integer, or a list of integers that add up to the axis");
  }
  const pieces =
    typeof sizes === "number"
      ? Array.from({ length: Math.ceil(n / sizes) }, (_, k) => Math.min(sizes, n - k * sizes))
      : sizes;
  if (!pieces.every((size) => Number.isInteger(size) && size >= 0) || pieces.reduce((a, b) => a + b, 0) !== n) {
    throw new ShapeError(`split: sizes ${JSON.stringify(sizes)} of an axis of ${n}, want integers that add up to it`);
  }
  let end = 0;
  return pieces.map((size) => {
    end += size;
    return [end - size, end];
  });
}

/** A wanted shape with its −1 filled in. @throws ShapeError unless it holds as many elements */
function resolveShape(from: Shape, to: Shape): Shape {
  const size = sizeOf(from);
  const known = sizeOf(to.filter((n) => n !== -1));
  const inferred = to.map((n) => (n === -1 ? size / known : n));
  const holes = to.filter((n) => n === -1).length;
  if (holes > 1 || !inferred.every((n) => Number.isInteger(n) && n >= 0) || sizeOf(inferred) !== size) {
    throw new ShapeError(
      `reshape: ${formatShape(from)} (${size} elements) to ${formatShape(to)}, want a shape of ${size} elements with at most one −1`,
    );
  }
  return checkShape("reshape", sameShape(inferred, from) ? from : inferred);
}
