// Shapes, strides and layouts as pure functions. They know no tensor and no backend.

import { expectList, wrongArgument } from "./argument.ts";

/** The lengths of the axes, outermost first; [] is a scalar. */
export type Shape = readonly number[];

/** Element types. Every element takes four bytes; a bool is 0 or 1. */
export type DType = "float32" | "int32" | "uint32" | "bool";

const DTYPES: readonly unknown[] = ["float32", "int32", "uint32", "bool"] satisfies DType[];

/** Shape and type of a value, known before it is computed. */
export interface Spec {
  /** The lengths of the axes, outermost first. */
  readonly shape: Shape;
  /** The type of the elements. */
  readonly dtype: DType;
}

/** Where the elements of a tensor lie in its storage: the element at index [i₀, i₁, …] is at offset + Σ iₖ · strides[k]. */
export interface Layout {
  /** The lengths of the axes, outermost first. */
  readonly shape: Shape;
  /** Per axis, the distance in elements between neighbours; 0 repeats an element, and a negative one reverses the axis. */
  readonly strides: readonly number[];
  /** Where the element at index [0, 0, …] lies, in elements. */
  readonly offset: number;
}

/** The most axes of a tensor: kernels have room for the strides of so many. */
const MAX_RANK = 8;

/** A shape, axis or index that does not fit. The message names the function, the shapes and what was wanted. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

/** The number of elements, Π shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const n of shape) size *= n;
  return size;
}

/** Strides of row-major order, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let k = shape.length - 1; k >= 0; k--) {
    strides[k] = stride;
    stride *= shape[k];
  }
  return strides;
}

/** The layout of a new tensor: row-major from the start of its storage. */
export function contiguousLayout(shape: Shape): Layout {
  return { shape, strides: stridesOf(shape), offset: 0 };
}

/** Whether the elements lie in row-major order without gaps. Strides of axes of size 1 do not matter. */
export function isContiguous({ shape, strides }: Layout): boolean {
  let stride = 1;
  for (let k = shape.length - 1; k >= 0; k--) {
    if (shape[k] === 1) continue;
    if (shape[k] === 0) return true;
    if (strides[k] !== stride) return false;
    stride *= shape[k];
  }
  return true;
}

/** The same matrices [..., rows, columns] with the last two axes exchanged. */
export function transposed<Given extends Layout>(given: Given): Given {
  const swap = (values: readonly number[]) => [...values.slice(0, -2), ...values.slice(-2).reverse()];
  return { ...given, shape: swap(given.shape), strides: swap(given.strides) };
}

/** Whether two shapes are equal. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, k) => n === b[k]);
}

/** The first and the last element of storage that a layout reads. */
export function spanOf({ shape, strides, offset }: Layout): readonly [first: number, last: number] {
  const ways = shape.map((size, k) => Math.max(0, size - 1) * strides[k]);
  const sum = (some: readonly number[]) => some.reduce((at, way) => at + way, offset);
  return [sum(ways.filter((way) => way < 0)), sum(ways.filter((way) => way > 0))];
}

/** `[2, 3]`, as errors print it. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * NumPy's broadcasting: axes are aligned at the right, and an axis of 1 stretches.
 * @throws ShapeError naming the op and both shapes
 */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, k) => {
    const m = a[k - rank + a.length] ?? 1;
    const n = b[k - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError(
        `${op}: ${formatShape(a)} and ${formatShape(b)} do not broadcast, want equal axes (or 1) from the right`,
      );
    }
    return m === 1 ? n : m;
  });
}

/**
 * An axis in 0 … rank − 1; negative ones count from the end.
 * @throws ShapeError
 */
export function resolveAxis(op: string, axis: number, rank: number): number {
  if (typeof axis !== "number") throw wrongArgument(op, "axis", axis, "an integer");
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(`${op}: axis ${axis}, want an integer in [${-rank}, ${rank - 1}] for rank ${rank}`);
  }
  return resolved;
}

/**
 * Distinct axes in ascending order, in 0 … rank − 1; all of them for undefined.
 * @throws ShapeError for an axis outside of [−rank, rank − 1], or one given twice
 */
export function resolveAxes(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, k) => k);
  if (typeof axes !== "number") expectList(op, "axes", axes, "an integer, or a list of integers such as [0, 1]");
  const resolved = (typeof axes === "number" ? [axes] : axes).map((axis) => resolveAxis(op, axis, rank));
  if (new Set(resolved).size !== resolved.length) {
    throw new ShapeError(`${op}: axes ${formatShape(resolved)} repeat one, want distinct axes`);
  }
  return resolved.sort((a, b) => a - b);
}

/**
 * A shape as users give it: integers ≥ 0, at most MAX_RANK of them.
 * @throws ShapeError
 */
export function checkShape(op: string, shape: Shape): Shape {
  expectList(op, "shape", shape, "a list of integers, such as [2, 3]");
  if (shape.length > MAX_RANK) throw new ShapeError(`${op}: rank ${shape.length}, want at most ${MAX_RANK}`);
  for (const n of shape) {
    if (!Number.isInteger(n) || n < 0) {
      throw new ShapeError(`${op}: shape ${formatShape(shape)}, want integers that are at least 0`);
    }
  }
  return shape;
}

/** The type itself. @throws Error naming the op unless it is an element type */
export function checkType(op: string, dtype: DType): DType {
  if (!DTYPES.includes(dtype)) throw wrongArgument(op, "dtype", dtype, DTYPES.join(", ").replace(/, (?=\w+$)/, " or "));
  return dtype;
}

/**
 * Merges neighbouring axes that have one common stride in every layout, and drops axes of size 1: kernels then index fewer
 * axes.
 * @param layouts layouts of one common shape
 */
export function collapse(layouts: readonly Layout[]): Layout[] {
  const [{ shape }] = layouts;
  const sizes: number[] = [];
  const strides: number[][] = layouts.map(() => []);
  for (let k = 0; k < shape.length; k++) {
    if (shape[k] === 1) continue;
    const last = sizes.length - 1;
    const merges = last >= 0 && layouts.every((l, i) => strides[i][last] === l.strides[k] * shape[k]);
    if (merges) {
      sizes[last] *= shape[k];
      for (let i = 0; i < layouts.length; i++) strides[i][last] = layouts[i].strides[k];
    } else {
      sizes.push(shape[k]);
      for (let i = 0; i < layouts.length; i++) strides[i].push(layouts[i].strides[k]);
    }
  }
  return layouts.map((layout, i) => ({ shape: sizes, strides: strides[i], offset: layout.offset }));
}

/** One number per axis, filled up with 1 to MAX_RANK: what kernels take of a rank that they do not know. */
export function perAxis(values: readonly number[]): number[] {
  return [...values, ...new Array<number>(MAX_RANK - values.length).fill(1)];
}

/** Whether every index of a layout leads to the same element. */
export function isOneElement({ shape, strides }: Layout): boolean {
  return strides.every((stride, k) => stride === 0 || shape[k] === 1);
}
