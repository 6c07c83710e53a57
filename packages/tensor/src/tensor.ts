// class Tensor, and `apply`: the one place where ops run and are recorded. What an op computes stands in ops/.
/// <reference lib="esnext.disposable" preserve="true" />

import {
  expectBackend,
  expectList,
  expectNumber,
  expectTensor,
  expectTensors,
  optionsOf,
  wrongArgument,
} from "./argument.ts";
import { isRecording, isTracked, type Origin, record, releaseAlias } from "./autograd/graph.ts";
import type { Backend } from "./backend.ts";
import { backendFor } from "./backends/defaultBackend.ts";
import { currentSession, refuseInCapture, type Whereabouts } from "./capture/session.ts";
import { blank, compute, copyOf, type Elements, overwrite } from "./compute.ts";
import { tell } from "./debug/observer.ts";
import { isElement } from "./element.ts";
import { change } from "./memory/atomic.ts";
import { adopt, disown, type Slot, type Storage } from "./memory/memory.ts";
import type { NumberArray, Op } from "./op.ts";
import { type BiasOptions, type ConvOptions, convAttrs, convShape } from "./ops/conv/convShape.ts";
import * as ops from "./ops/index.ts";
import type { Slice } from "./ops/layout/views.ts";
import {
  broadcastShapes,
  checkType,
  type DType,
  formatShape,
  isContiguous,
  type Layout,
  resolveAxes,
  resolveAxis,
  type Shape,
  ShapeError,
  sameShape,
  sizeOf,
} from "./shape.ts";

/** An operand of arithmetic: a tensor, or a number that stands for a tensor full of it. */
export type TensorLike = Tensor | number;

/** Where the windows of a pooling lie: how far apart, and zeros around the image. One number, or [down, across]. */
export interface PoolOptions {
  readonly stride?: number | readonly [number, number];
  readonly padding?: number | readonly [number, number];
}

/** Whether a reduction keeps the axes that it reduces, with size 1. */
export interface KeepOptions {
  readonly keepAxes?: boolean;
}

const SHAPE = "a list of integers, such as [2, 3]";
const KEEP = "{ keepAxes: true }";

/** Numbers in nested arrays, as `tensor()` takes them and `array()` gives them. */
export type NestedNumbers = number | readonly NestedNumbers[];

/**
 * An immutable array of up to eight axes on a backend. Methods queue work and return at once; only `data`, `array` and
 * `item` wait. Operands broadcast as NumPy's do. Every method throws ShapeError for shapes it cannot take, before any work.
 */
export class Tensor {
  /** Internal: where the elements are; shared with the collector's safety net. */
  readonly slot: Slot;
  /** Internal: identity in the graph. */
  readonly origin: Origin;
  /** Internal: how the storage is read. */
  layout: Layout;
  readonly dtype: DType;
  readonly backend: Backend;

  /** Internal; use `tensor`, `zeros`, … or a method. */
  constructor(backend: Backend, storage: Storage | null, layout: Layout, dtype: DType, origin: Origin) {
    this.slot = { storage };
    this.backend = backend;
    this.layout = layout;
    this.dtype = dtype;
    this.origin = origin;
    currentSession()?.bear(this);
  }

  get shape(): Shape {
    return this.layout.shape;
  }

  get rank(): number {
    return this.layout.shape.length;
  }

  /** The number of elements. */
  get size(): number {
    return sizeOf(this.layout.shape);
  }

  get disposed(): boolean {
    return this.slot.storage === null;
  }

  /** Internal. @throws Error when the tensor is disposed */
  get storage(): Storage {
    const { storage } = this.slot;
    if (storage === null)
      throw new Error(`tensor: this ${this} is disposed (by dispose or at the end of a tidy), want a live one`);
    return storage;
  }

  // -- reading and life ------------------------------------------------------------------------------------------------

  /** The elements in row-major order, once they are computed; a copy. Bools come as 0 and 1. */
  async data(): Promise<NumberArray> {
    refuseInCapture("reading a tensor", "it returned, and read outside");
    const source = this.materialised();
    const pending = this.backend.download(source.storage.buffer, this.dtype, source.layout.offset, this.size);
    if (source !== this) source.dispose();
    return pending;
  }

  /** The only element. @throws ShapeError unless the size is 1 */
  async item(): Promise<number> {
    if (this.size !== 1) throw new ShapeError(`item: shape ${formatShape(this.shape)}, want one element`);
    return (await this.data())[0];
  }

  /** The elements as nested arrays; a number for a scalar. */
  async array(): Promise<NestedNumbers> {
    const data = await this.data();
    const nest = (axis: number, start: number, size: number): NestedNumbers => {
      if (axis === this.rank) return data[start];
      const step = size / this.shape[axis];
      return Array.from({ length: this.shape[axis] }, (_, k) => nest(axis + 1, start + k * step, step));
    };
    return nest(0, 0, this.size);
  }

  /** Frees the elements (once no other view of them lives). Any later use throws. */
  dispose(): void {
    if (this.slot.storage === null) return;
    const session = currentSession();
    if (session && !session.isBorn(this)) refuseInCapture(`disposing ${this}, which was made outside,`, "that outside");
    this.slot.storage.release();
    this.slot.storage = null;
    disown(this);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * Gives this tensor the value of another, which is disposed: how an optimizer updates a parameter in place.
   * @throws ShapeError when shapes differ; Error inside a function that is being differentiated
   */
  assign(value: Tensor): void {
    expectTensor("assign", "value", value);
    if (!sameShape(value.shape, this.shape) || value.dtype !== this.dtype) {
      throw new ShapeError(`assign: ${value} to ${this}, want the same shape and type`);
    }
    if (value.backend !== this.backend) throw new Error(`assign: ${value} to ${this}, want the same backend`);
    if (isRecording() && (isTracked(this) || isTracked(value))) {
      throw new Error("assign: called inside a function that is being differentiated, want it outside");
    }
    const session = currentSession();
    if (session?.isArgument(this))
      throw new Error("assign: to an argument of a captured function, want a tensor from outside");
    session?.find(this);
    const source = value.materialised();
    this.rememberStorage();
    if (source.storage === this.storage || !session?.displace(this)) this.storage.release();
    this.slot.storage = source.storage.retain();
    this.layout = source.layout;
    if (source !== value) source.dispose();
    value.dispose();
  }

  /** The same value as a constant: no gradient flows through it. */
  detach(): Tensor {
    currentSession()?.find(this);
    return tensorOf({ storage: this.storage.retain(), layout: this.layout, dtype: this.dtype });
  }

  /**
   * The elements on another backend, once they are computed: a copy, which no gradient flows through.
   * @throws Error inside a function that is being differentiated, where it would cut the graph
   */
  async to(backend: Backend): Promise<Tensor> {
    expectBackend("to", "backend", backend);
    if (isRecording() && isTracked(this)) {
      throw new Error(
        "to: called inside a function that is being differentiated, want it outside: it has no derivative",
      );
    }
    const { shape, dtype } = this;
    const data = await this.data();
    const elements = blank(backend, { shape, dtype }, "to");
    try {
      backend.upload(elements.storage.buffer, dtype, data);
    } catch (error) {
      elements.storage.release();
      throw error;
    }
    return tensorOf(elements);
  }

  /** JavaScript's operators cannot compute with tensors. @throws Error with the methods to use, but for text */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    throw new Error(
      `tensor: an operator of JavaScript on ${this}, want methods: a.add(b), a.mul(b), a.less(b), a.equal(b), or await a.item()`,
    );
  }

  toString(): string {
    return `Tensor(${this.dtype} ${formatShape(this.shape)} on ${this.backend.name})`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }

  /** Internal: applies an op to tensors of this tensor's backend. */
  apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[] {
    return apply(op, inputs, attrs, this.backend);
  }

  // -- shape -----------------------------------------------------------------------------------------------------------

  /** The same elements in another shape; one axis may be −1 and is inferred. */
  reshape(shape: Shape): Tensor {
    expectList("reshape", "shape", shape, SHAPE);
    return this.only(ops.reshape, { shape });
  }

  /** All axes from `from` to `to` (inclusive) as one. */
  flatten(from = 0, to = -1): Tensor {
    if (this.rank === 0) return this.reshape([1]);
    const [first, last] = [resolveAxis("flatten", from, this.rank), resolveAxis("flatten", to, this.rank)];
    return this.reshape([
      ...this.shape.slice(0, first),
      sizeOf(this.shape.slice(first, last + 1)),
      ...this.shape.slice(last + 1),
    ]);
  }

  /** Axis k of the result is axis `axes[k]` of this. */
  permute(axes: readonly number[]): Tensor {
    expectList("permute", "axes", axes, "a list of all axes, such as [1, 0]");
    return this.only(ops.permute, { axes });
  }

  /** Two axes exchanged; the last two by default. */
  transpose(a = -2, b = -1): Tensor {
    const axes = Array.from({ length: this.rank }, (_, k) => k);
    const [i, j] = [resolveAxis("transpose", a, this.rank), resolveAxis("transpose", b, this.rank)];
    [axes[i], axes[j]] = [j, i];
    return this.permute(axes);
  }

  /** Axes of size 1 (and new ones on the left) stretched to `shape`; a view. */
  expand(shape: Shape): Tensor {
    expectList("expand", "shape", shape, SHAPE);
    return sameShape(shape, this.shape) ? this : this.only(ops.expand, { shape });
  }

  /** A new axis of size 1 at `axis`. */
  unsqueeze(axis: number): Tensor {
    const at = resolveAxis("unsqueeze", axis, this.rank + 1);
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }

  /** Without the axis of size 1 at `axis`, or without all of them. */
  squeeze(axis?: number): Tensor {
    if (axis === undefined) return this.reshape(this.shape.filter((n) => n !== 1));
    const at = resolveAxis("squeeze", axis, this.rank);
    if (this.shape[at] !== 1) {
      throw new ShapeError(`squeeze: axis ${axis} of ${formatShape(this.shape)}, want an axis of size 1`);
    }
    return this.reshape(this.shape.toSpliced(at, 1));
  }

  /**
   * Part of each axis, like NumPy's x[a:b:step]: one entry per leading axis, `null` for all of an axis, a number for one index
   * (which drops the axis), `[from, to, step]` with negative indices counted from the end.
   */
  slice(...parts: readonly Slice[]): Tensor {
    const { view, dropped } = ops.resolveSlices(this.shape, parts);
    const sliced = this.only(ops.slice, view);
    return dropped.length === 0 ? sliced : sliced.reshape(sliced.shape.filter((_, k) => !dropped.includes(k)));
  }

  /** Reversed along the given axes (all by default); a view. */
  flip(axes?: number | readonly number[]): Tensor {
    const flipped = resolveAxes("flip", axes, this.rank);
    return this.only(ops.slice, {
      shape: this.shape,
      starts: this.shape.map((n, k) => (flipped.includes(k) ? Math.max(0, n - 1) : 0)),
      steps: this.shape.map((_, k) => (flipped.includes(k) ? -1 : 1)),
    });
  }

  /** Zeros around: `amounts[k]` is [before, after] of axis k. */
  pad(amounts: readonly (readonly [number, number])[]): Tensor {
    return this.only(ops.unslice, ops.padding(this.shape, amounts));
  }

  /** Cut along an axis into pieces of the given sizes, or of one size (the last may be smaller). */
  split(sizes: number | readonly number[], axis = 0): Tensor[] {
    const at = resolveAxis("split", axis, this.rank);
    return ops.splitBounds(this.shape[at], sizes).map(([from, to]) => {
      const parts: Slice[] = this.shape.map((_, k) => (k === at ? [from, to] : null));
      return this.slice(...parts);
    });
  }

  /** Row-major elements of their own: this tensor, when its elements lie so already. */
  contiguous(): Tensor {
    return isContiguous(this.layout) ? this : this.only(ops.copy, undefined);
  }

  /**
   * The elements in another type. Floats become integers by truncation towards 0, limited to the type's ends, and NaN becomes 0.
   * Integers become each other modulo 2³². What is not 0 is true, NaN too.
   */
  cast(dtype: DType): Tensor {
    return checkType("cast", dtype) === this.dtype ? this : this.only(ops.cast, { dtype });
  }

  // -- arithmetic ------------------------------------------------------------------------------------------------------

  add(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, b) : this.binary(ops.add, b);
  }

  sub(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, -b) : this.binary(ops.sub, b);
  }

  mul(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(b, 0) : this.binary(ops.mul, b);
  }

  div(b: TensorLike): Tensor {
    return this.binary(ops.div, b);
  }

  /** scale · x + shift in one pass. */
  affine(scale: number, shift: number): Tensor {
    expectNumber("affine", "scale", scale);
    expectNumber("affine", "shift", shift);
    return this.only(ops.affine, { scale, shift });
  }

  /** (1 − weight) · x + weight · b in one pass, b of the same shape. */
  lerp(b: Tensor, weight: number): Tensor {
    expectNumber("lerp", "weight", weight);
    return apply(ops.lerp, [this, b], { weight }, this.backend)[0];
  }

  /** xᵇ; NaN of a negative x unless b is whole. At x = 0 the derivative by b is 0 if b ≥ 0. */
  pow(b: TensorLike): Tensor {
    return typeof b === "number" ? this.only(ops.powScalar, { exponent: b }) : this.binary(ops.pow, b);
  }

  neg(): Tensor {
    return this.affine(-1, 0);
  }

  abs(): Tensor {
    return this.only(ops.abs, undefined);
  }

  /** −1, 0 or 1; its gradient is zero. */
  sign(): Tensor {
    return this.only(ops.sign, undefined);
  }

  /** The largest integer that is not above; its gradient is zero, as those of ceil and round. */
  floor(): Tensor {
    return this.only(ops.floor, undefined);
  }

  /** The smallest integer that is not below. */
  ceil(): Tensor {
    return this.only(ops.ceil, undefined);
  }

  /** The nearest integer; of two, the even one. */
  round(): Tensor {
    return this.only(ops.round, undefined);
  }

  square(): Tensor {
    return this.only(ops.square, undefined);
  }

  sqrt(): Tensor {
    return this.only(ops.sqrt, undefined);
  }

  /** 1 / √x. */
  rsqrt(): Tensor {
    return this.only(ops.rsqrt, undefined);
  }

  exp(): Tensor {
    return this.only(ops.exp, undefined);
  }

  /** eˣ − 1, without the loss of digits near 0. */
  expm1(): Tensor {
    return this.only(ops.expm1, undefined);
  }

  /** The natural logarithm. */
  log(): Tensor {
    return this.only(ops.log, undefined);
  }

  /** log(1 + x), without the loss of digits near 0. */
  log1p(): Tensor {
    return this.only(ops.log1p, undefined);
  }

  /** sin x, of x in radians. */
  sin(): Tensor {
    return this.only(ops.sin, undefined);
  }

  cos(): Tensor {
    return this.only(ops.cos, undefined);
  }

  tanh(): Tensor {
    return this.only(ops.tanh, undefined);
  }

  /** The error function 2/√π ∫₀ˣ e^(−u²) du. */
  erf(): Tensor {
    return this.only(ops.erf, undefined);
  }

  /** log Φ(x), Φ the standard normal distribution, also where Φ(x) itself is no number any more. */
  logNdtr(): Tensor {
    return this.only(ops.logNdtr, undefined);
  }

  /** 1 / (1 + e⁻ˣ). */
  sigmoid(): Tensor {
    return this.only(ops.sigmoid, undefined);
  }

  /** x · sigmoid(x), also called swish. */
  silu(): Tensor {
    return this.only(ops.silu, undefined);
  }

  /**
   * x · Φ(x), Φ the standard normal distribution (Hendrycks & Gimpel 2016).
   * @param options `approximate: "tanh"` for the form with a tanh in the place of Φ, as GPT-2 has it; within 5e-4 of the other
   */
  gelu(options: { readonly approximate?: "none" | "tanh" } = {}): Tensor {
    const { approximate = "none" } = optionsOf("gelu", options, '{ approximate: "tanh" }');
    if (approximate !== "none" && approximate !== "tanh") {
      throw wrongArgument("gelu", "approximate", approximate, '"none" or "tanh"');
    }
    return this.only(approximate === "tanh" ? ops.geluTanh : ops.gelu, undefined);
  }

  /** max(x, 0). */
  relu(): Tensor {
    return this.only(ops.relu, undefined);
  }

  /** log(1 + eˣ). */
  softplus(): Tensor {
    return this.only(ops.softplus, undefined);
  }

  /** The larger of two; where they are equal each gets half of the gradient. */
  maximum(b: TensorLike): Tensor {
    return this.binary(ops.maximum, b);
  }

  /** The smaller of two; where they are equal each gets half of the gradient. */
  minimum(b: TensorLike): Tensor {
    return this.binary(ops.minimum, b);
  }

  /** Limited to [lo, hi]; the gradient is zero outside. @throws Error unless lo ≤ hi */
  clamp(lo: number, hi: number): Tensor {
    expectNumber("clamp", "lo", lo);
    expectNumber("clamp", "hi", hi);
    if (!(lo <= hi)) throw new Error(`clamp: from ${lo} to ${hi}, want lo ≤ hi`);
    return this.only(ops.clamp, { lo, hi });
  }

  // -- comparison ------------------------------------------------------------------------------------------------------

  equal(b: TensorLike): Tensor {
    return this.binary(ops.equal, b);
  }

  notEqual(b: TensorLike): Tensor {
    return this.binary(ops.notEqual, b);
  }

  less(b: TensorLike): Tensor {
    return this.binary(ops.less, b);
  }

  lessEqual(b: TensorLike): Tensor {
    return this.binary(ops.lessEqual, b);
  }

  greater(b: TensorLike): Tensor {
    return toTensor("greater", b, this).less(this);
  }

  greaterEqual(b: TensorLike): Tensor {
    return toTensor("greaterEqual", b, this).lessEqual(this);
  }

  /** Whether both are true, of bools; as logicalOr and logicalNot. */
  logicalAnd(b: Tensor): Tensor {
    return this.binary(ops.logicalAnd, b);
  }

  logicalOr(b: Tensor): Tensor {
    return this.binary(ops.logicalOr, b);
  }

  logicalNot(): Tensor {
    return this.only(ops.logicalNot, undefined);
  }

  /** Whether an element is neither NaN nor infinite; a bool. */
  isFinite(): Tensor {
    return this.only(ops.finite, undefined);
  }

  /** Whether an element is NaN; a bool. */
  isNaN(): Tensor {
    return this.only(ops.nan, undefined);
  }

  /** Where this (a bool) is true the first, elsewhere the second. */
  where(a: TensorLike, b: TensorLike): Tensor {
    const like = a instanceof Tensor ? a : b instanceof Tensor ? b : null;
    const [x, y] = [a, b].map((value) => toTensor("where", value, this, like?.dtype ?? "float32"));
    const shape = broadcastShapes("where", broadcastShapes("where", this.shape, x.shape), y.shape);
    return apply(ops.where, [this.expand(shape), x.expand(shape), y.expand(shape)], undefined, this.backend)[0];
  }

  // -- reductions ------------------------------------------------------------------------------------------------------

  /** The sum over the given axes (all by default), which are dropped unless `keepAxes`. */
  sum(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("sum", options, KEEP);
    return this.reduce(ops.sum, axes, keepAxes);
  }

  /** The mean over the given axes. */
  mean(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("mean", options, KEEP);
    const reduced = resolveAxes("mean", axes, this.rank);
    const count = reduced.reduce((n, axis) => n * this.shape[axis], 1);
    return this.sum(reduced, { keepAxes }).mul(1 / count);
  }

  /** The largest element over the given axes; equal ones share the gradient. */
  max(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("max", options, KEEP);
    return this.reduce(ops.max, axes, keepAxes);
  }

  /** The smallest element over the given axes; equal ones share the gradient. */
  min(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("min", options, KEEP);
    return this.neg().max(axes, { keepAxes }).neg();
  }

  /**
   * The mean squared distance from the mean over the given axes, with n − correction in the place of the count n.
   * @param options correction: 1 for the unbiased estimate of what these are samples of, 0 for their own variance
   */
  variance(axes?: number | readonly number[], options: KeepOptions & { correction?: number } = {}): Tensor {
    const { keepAxes = false, correction = 1 } = optionsOf("variance", options, KEEP);
    expectNumber("variance", "correction", correction);
    const reduced = resolveAxes("variance", axes, this.rank);
    const count = reduced.reduce((n, axis) => n * this.shape[axis], 1);
    const squares = this.sub(this.mean(reduced, { keepAxes: true })).square();
    return squares.sum(reduced, { keepAxes }).mul(1 / (count - correction));
  }

  /** The standard deviation over the given axes: √variance, with its options; its gradient where it is 0 is 0. */
  std(axes?: number | readonly number[], options: KeepOptions & { correction?: number } = {}): Tensor {
    const { keepAxes = false, correction = 1 } = optionsOf("std", options, KEEP);
    expectNumber("std", "correction", correction);
    return rootOfSquares(this.variance(resolveAxes("std", axes, this.rank), { keepAxes, correction }));
  }

  /** The Euclidean norm √Σ x² over the given axes; its gradient where it is 0 is 0. */
  norm(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("norm", options, KEEP);
    return rootOfSquares(this.square().sum(resolveAxes("norm", axes, this.rank), { keepAxes }));
  }

  /** log Σ e^x over the given axes, for x of any size. */
  logSumExp(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("logSumExp", options, KEEP);
    return this.overLast("logSumExp", axes, keepAxes, (rows) => rows.only(ops.logSumExp, undefined));
  }

  /**
   * The q-quantile over the given axes (all by default): element q · (n − 1) of the n in order, between two elements on the straight
   * line through them, as NumPy and PyTorch have it by default; NaN if one of them is.
   * @param q in [0, 1]
   */
  quantile(q: number, axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("quantile", options, KEEP);
    expectNumber("quantile", "q", q);
    if (!(q >= 0 && q <= 1)) throw new Error(`quantile: q is ${q}, want a number in [0, 1]`);
    return this.overLast("quantile", axes, keepAxes, (rows) => {
      const length = rows.shape[rows.rank - 1];
      if (length === 0) {
        throw new ShapeError(`quantile: shape ${formatShape(this.shape)}, want at least one element`);
      }
      const place = q * (length - 1);
      const below = Math.floor(place);
      const { values } = rows.sort();
      const at = (index: number): Tensor => values.slice(...rows.shape.slice(1).map(() => null), [index, index + 1]);
      const value = place === below ? at(below) : at(below).lerp(at(below + 1), place - below);
      const last = at(length - 1); // NaN counts as the largest
      return last.isNaN().where(last, value);
    });
  }

  /** The index (int32) of the largest element along an axis, the first of equal ones, or of the first NaN; the axis is dropped. */
  argmax(axis = -1): Tensor {
    const at = resolveAxis("argmax", axis, this.rank);
    return this.only(ops.argmax, { axis: at }).reshape(this.shape.toSpliced(at, 1));
  }

  /** The index (int32) of the smallest element along an axis, the first of equal ones, or of the first NaN; the axis is dropped. */
  argmin(axis = -1): Tensor {
    const at = resolveAxis("argmin", axis, this.rank);
    if (this.shape[at] === 0) {
      throw new ShapeError(`argmin: axis ${at} of ${formatShape(this.shape)}, want at least one element`);
    }
    return this.neg().argmax(at);
  }

  /** Running sums along an axis: element r is the sum of the elements 0 … r. */
  cumsum(axis: number): Tensor {
    return this.only(ops.cumsum, { axis: resolveAxis("cumsum", axis, this.rank) });
  }

  /**
   * The elements in order along an axis, and the indices (int32) that they had; equal ones keep their order, NaN counts as the largest.
   * The gradient takes time in the square of the axis.
   */
  sort(axis = -1, options: { readonly descending?: boolean } = {}): { values: Tensor; indices: Tensor } {
    const { descending = false } = optionsOf("sort", options, "{ descending: true }");
    const at = resolveAxis("sort", axis, this.rank);
    const last = this.rank - 1;
    const sorted = apply(ops.sort, [this.transpose(at, last)], { descending }, this.backend);
    const [values, indices] = sorted.map((x) => x.transpose(at, last));
    return { values, indices };
  }

  /** e^x / Σ e^x along an axis, for x of any size. */
  softmax(axis = -1): Tensor {
    return this.alongLast("softmax", axis, (x) => x.only(ops.softmax, undefined));
  }

  /** log softmax(x): x − log Σ e^x along an axis. */
  logSoftmax(axis = -1): Tensor {
    return this.alongLast("logSoftmax", axis, (x) => x.only(ops.logSoftmax, undefined));
  }

  // -- indices ---------------------------------------------------------------------------------------------------------

  /**
   * Rows by index: [rows, ...rest] and int32 indices of any shape → [...indices, ...rest].
   * An index outside of the table throws on the host's backends and reads zeros on a GPU.
   */
  gather(indices: Tensor): Tensor {
    return apply(ops.gather, [this, indices], undefined, this.backend)[0];
  }

  /** Sums of rows by index, the transpose of gather: [...indices, ...rest] → [rows, ...rest]. */
  scatterAdd(indices: Tensor, rows: number): Tensor {
    return apply(ops.scatterAdd, [this, indices], { rows }, this.backend)[0];
  }

  /**
   * Elements along an axis by index, each line with indices of its own: result[…, j, …] = this[…, indices[…, j, …], …], as PyTorch's
   * gather and NumPy's take_along_axis. `indices` (int32) has this shape but for the axis. An index outside is as in `gather`.
   */
  gatherAlong(indices: Tensor, axis = -1): Tensor {
    const at = resolveAxis("gatherAlong", axis, this.rank);
    return apply(ops.gatherAlong, [this, indices], { axis: at }, this.backend)[0];
  }

  /**
   * Sums by index along an axis, the transpose of gatherAlong: this and `indices` (int32) have one shape, the result `length`
   * elements along the axis. Takes time in their number times `length`.
   */
  scatterAlong(indices: Tensor, length: number, axis = -1): Tensor {
    const at = resolveAxis("scatterAlong", axis, this.rank);
    return apply(ops.scatterAlong, [this, indices], { axis: at, length }, this.backend)[0];
  }

  /** For int32 indices: float32 [...this, depth] with 1 at each index and 0 elsewhere. */
  oneHot(depth: number): Tensor {
    return this.only(ops.oneHot, { depth });
  }

  // -- layers of networks ----------------------------------------------------------------------------------------------

  /**
   * activation((x − mean) / √(variance + epsilon) · scale + bias) with the mean and variance over all positions and the channels
   * of one group, for each sample (Wu & He 2018). This is [batch, ...spatial, channels]; scale and bias are [channels].
   * @param options `groups` divides the channels; `activation` is none by default, or "silu"
   */
  groupNorm(
    scale: Tensor,
    bias: Tensor,
    options: { readonly groups: number; readonly epsilon?: number; readonly activation?: "none" | "silu" },
  ): Tensor {
    const { groups, epsilon = 1e-5, activation = "none" } = optionsOf("groupNorm", options, "{ groups: 32 }");
    if (groups === undefined) throw wrongArgument("groupNorm", "groups", groups, "how many groups divide the channels");
    expectNumber("groupNorm", "epsilon", epsilon);
    return apply(ops.groupNorm, [this, scale, bias], { groups, epsilon, activation }, this.backend)[0];
  }

  /** (x − mean) / √(variance + epsilon) · scale + bias along the last axis, whose length scale and bias have. */
  layerNorm(scale: Tensor, bias: Tensor, options: { readonly epsilon?: number } = {}): Tensor {
    const { epsilon } = optionsOf("layerNorm", options, "{ epsilon: 1e-5 }");
    if (this.rank === 0) throw new ShapeError("layerNorm: shape [], want a last axis");
    const rows = this.reshape([-1, this.shape[this.rank - 1]]);
    return rows.groupNorm(scale, bias, { groups: 1, epsilon }).reshape(this.shape);
  }

  /**
   * softmax(scale · q kᵀ + mask) v with q = this [..., queries, depth], k [..., keys, depth] and v [..., keys, width]; leading axes
   * broadcast. Without a mask the matrix [..., queries, keys] is never stored (flash attention, Dao et al. 2022).
   * @param options `scale` is 1 / √depth by default. `mask` broadcasts to [..., queries, keys]: a float32 one is added, a bool one
   * says which keys a query sees; a query that sees none takes the mean of all, one whose added mask is −∞ for all gives NaN
   */
  attention(k: Tensor, v: Tensor, options: { readonly scale?: number; readonly mask?: Tensor } = {}): Tensor {
    const { scale, mask } = optionsOf("attention", options, "{ scale: 0.125, mask }");
    expectTensors("attention", "[k, v]", [k, v]);
    if (mask !== undefined) expectTensor("attention", "mask", mask);
    if (scale !== undefined) expectNumber("attention", "scale", scale);
    if (this.rank < 2 || k.rank < 2 || v.rank < 2) {
      throw new ShapeError(
        `attention: q ${formatShape(this.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)}, want at least two axes`,
      );
    }
    const factor = scale ?? this.shape[this.rank - 1] ** -0.5;
    if (mask) {
      const scores = this.matmul(k.transpose()).mul(factor);
      return (mask.dtype === "bool" ? scores.seen(mask) : scores.add(mask)).softmax().matmul(v);
    }
    const leading = [k, v].reduce<Shape>(
      (shape, { shape: other }) => broadcastShapes("attention", shape, other.slice(0, -2)),
      this.shape.slice(0, -2),
    );
    const operands = [this, k, v].map((x) => x.expand([...leading, ...x.shape.slice(-2)]));
    return apply(ops.attention, operands, { scale: factor }, this.backend)[0];
  }

  /** Each pixel of [batch, height, width, channels] repeated `factor` times down and across. */
  upsampleNearest(factor: number | readonly [number, number]): Tensor {
    const window = pair("upsampleNearest", "factor", factor);
    if (this.rank !== 4) {
      throw new ShapeError(`upsampleNearest: shape ${formatShape(this.shape)}, want [batch, height, width, channels]`);
    }
    const size = [this.shape[1] * window[0], this.shape[2] * window[1]] as const;
    return this.only(ops.windowSpread, { window, stride: window, padding: [0, 0], weight: 1, size });
  }

  /** The mean over windows of [batch, height, width, channels]; zeros of the padding count. The stride is the window by default. */
  averagePool(window: number | readonly [number, number], options: PoolOptions = {}): Tensor {
    const windows = windowsOf("averagePool", window, options);
    return this.only(ops.windowSum, { ...windows, weight: 1 / (windows.window[0] * windows.window[1]) });
  }

  /**
   * The largest element of each window of [batch, height, width, channels]; the padding never is. The stride is the window by default.
   * A pass for each place in the window: made for small ones.
   */
  maxPool(window: number | readonly [number, number], options: PoolOptions = {}): Tensor {
    if (this.rank !== 4) {
      throw new ShapeError(`maxPool: shape ${formatShape(this.shape)}, want [batch, height, width, channels]`);
    }
    const [, height, width] = this.shape;
    const windows = windowsOf("maxPool", window, options);
    const [down, across] = ops.windowCounts("maxPool", [height, width], windows);
    const around = [0, ...windows.padding, 0].map((n) => [n, n] as const);
    const inside = toTensor("maxPool", 1, this).expand([1, height, width, 1]).pad(around).cast("bool");
    const padded = windows.padding.some((n) => n > 0) ? inside.where(this.pad(around), Number.NEGATIVE_INFINITY) : this;
    const every = (first: number, count: number, step: number): Slice => [first, first + (count - 1) * step + 1, step];
    const places = Array.from({ length: windows.window[0] * windows.window[1] }, (_, k) => {
      const rows = every(Math.floor(k / windows.window[1]), down, windows.stride[0]);
      return padded.slice(null, rows, every(k % windows.window[1], across, windows.stride[1]));
    });
    return places.reduce((a, b) => a.maximum(b));
  }

  // -- linear algebra --------------------------------------------------------------------------------------------------

  /**
   * The matrix product over the last two axes: [..., m, k] × [..., k, n] → [..., m, n]; leading axes broadcast.
   * Transposed views are read in place.
   * @param options `bias` is added in the same pass; it broadcasts to the result
   */
  matmul(b: Tensor, options: BiasOptions = {}): Tensor {
    expectTensor("matmul", "b", b);
    const { bias } = optionsOf("matmul", options, "{ bias }");
    if (bias !== undefined) expectTensor("matmul", "bias", bias);
    if (this.rank < 2 || b.rank < 2) {
      throw new ShapeError(
        `matmul: ${formatShape(this.shape)} × ${formatShape(b.shape)}, want at least two axes on both sides`,
      );
    }
    const [m, k] = this.shape.slice(-2);
    if (b.rank === 2 && this.rank > 2) {
      const rows = sizeOf(this.shape.slice(0, -1));
      const shape = [...this.shape.slice(0, -1), b.shape[1]];
      // The reshape of a view that is stretched along several axes is a copy.
      const flat = bias && bias.rank > 1 ? bias.expand(shape).reshape([rows, b.shape[1]]) : bias;
      return this.reshape([rows, k]).matmul(b, { bias: flat }).reshape(shape);
    }
    const batch = broadcastShapes("matmul", this.shape.slice(0, -2), b.shape.slice(0, -2));
    const operands = [this.expand([...batch, m, k]), b.expand([...batch, ...b.shape.slice(-2)])];
    if (bias) operands.push(bias.expand([...batch, m, b.shape[b.rank - 1]]));
    return apply(ops.matmul, operands, undefined, this.backend)[0];
  }

  /**
   * The convolution (cross-correlation) of [batch, height, width, in] with a weight [kh, kw, in / groups, out], zeros around:
   * → [batch, height′, width′, out].
   * @param options stride, padding, dilation: numbers, or [y, x]; padding also [[top, bottom], [left, right]], or "same" for
   * ⌈size / stride⌉ pixels; `bias` is added in the same pass and broadcasts to the result
   */
  conv2d(weight: Tensor, options: ConvOptions & BiasOptions = {}): Tensor {
    expectTensor("conv2d", "weight", weight);
    const { bias, ...geometry } = optionsOf("conv2d", options, "{ padding: 1 }");
    if (bias !== undefined) expectTensor("conv2d", "bias", bias);
    const attrs = convAttrs(this.shape, weight.shape, geometry);
    const [kh, kw, inChannels, outChannels] = weight.shape;
    const isPadded = attrs.padding.flat().some((n) => n > 0);
    const isPointwise = !isPadded && [kh, kw, ...attrs.stride, attrs.groups].every((n) => n === 1);
    if (isPointwise && this.rank === 4 && this.shape[3] === inChannels) {
      return this.matmul(weight.reshape([inChannels, outChannels]), { bias });
    }
    const operands = [this, weight];
    if (bias) operands.push(bias.expand(convShape("conv2d", this.shape, weight.shape, attrs)));
    return apply(ops.conv2d, operands, attrs, this.backend)[0];
  }

  // -- internal --------------------------------------------------------------------------------------------------------

  /** Internal: a second handle on the same value, owned by the graph and not by any scope; `hollow` ones know no elements. */
  alias(hollow: boolean): Tensor {
    const storage = hollow ? null : this.storage.retain();
    return new Tensor(this.backend, storage, this.layout, this.dtype, this.origin);
  }

  /** Whether an operand is a number that `affine` can carry. */
  private scales(b: TensorLike): b is number {
    return typeof b === "number" && this.dtype === "float32";
  }

  private only<Attrs>(op: Op<Attrs>, attrs: Attrs): Tensor {
    return apply(op, [this], attrs, this.backend)[0];
  }

  private binary(op: Op, b: TensorLike): Tensor {
    const other = toTensor(op.name, b, this);
    const shape = broadcastShapes(op.name, this.shape, other.shape);
    return apply(op, [this.expand(shape), other.expand(shape)], undefined, this.backend)[0];
  }

  private reduce(
    op: Op<{ axes: readonly number[] }>,
    axes: number | readonly number[] | undefined,
    keepAxes: boolean,
  ): Tensor {
    const reduced = resolveAxes(op.name, axes, this.rank);
    if (reduced.length === 0) return this;
    const kept = this.only(op, { axes: reduced });
    return keepAxes ? kept : kept.reshape(this.shape.filter((_, k) => !reduced.includes(k)));
  }

  /** Scores of attention as they are where a bool mask is true, elsewhere −∞; 0 in rows where it is false everywhere. */
  private seen(mask: Tensor): Tensor {
    const rows = mask.rank === 0 ? mask.reshape([1]) : mask;
    const seesNone = rows.cast("float32").max(-1, { keepAxes: true }).equal(0);
    return rows.where(this, seesNone.where(0, Number.NEGATIVE_INFINITY));
  }

  /** A function of the last axis, on another one. */
  private alongLast(name: string, axis: number, f: (x: Tensor) => Tensor): Tensor {
    const at = resolveAxis(name, axis, this.rank);
    return at === this.rank - 1 ? f(this) : f(this.transpose(at, -1)).transpose(at, -1);
  }

  /** A function of the last axis that leaves one element of it, over any axes. */
  private overLast(
    name: string,
    axes: number | readonly number[] | undefined,
    keepAxes: boolean,
    f: (rows: Tensor) => Tensor,
  ): Tensor {
    const reduced = resolveAxes(name, axes, this.rank);
    const kept = Array.from({ length: this.rank }, (_, k) => k).filter((axis) => !reduced.includes(axis));
    const [outer, length] = [kept, reduced].map((some) => some.map((axis) => this.shape[axis]));
    const rows = this.permute([...kept, ...reduced]).reshape([...outer, sizeOf(length)]);
    return f(rows).reshape(keepAxes ? this.shape.map((n, k) => (reduced.includes(k) ? 1 : n)) : outer);
  }

  /** Lets a step that fails give this tensor back the storage that it has now. */
  private rememberStorage(): void {
    const { storage, layout } = this;
    storage.pin();
    const settle = () => storage.unpin();
    const undo = () => {
      if (!this.disposed) {
        this.storage.release();
        this.slot.storage = storage.retain();
        this.layout = layout;
      }
      storage.unpin();
    };
    change({ undo, settle });
  }

  /** This tensor, or a row-major copy outside of the graph. */
  private materialised(): Tensor {
    return isContiguous(this.layout) ? this : tensorOf(copyOf(this));
  }
}

/**
 * Runs an op: checks the operands, infers the result, runs the kernel, records it where somebody differentiates.
 * @param given what the op declares as its attributes; undefined for an op without
 * @param on where to run an op without operands. Default: the operands' backend, or that of `setDefaultBackend`
 * @throws Error for disposed operands and for operands of several backends; what the op's `infer` throws
 */
export function apply<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], given: Attrs, on?: Backend): Tensor[] {
  if (typeof op?.infer !== "function") throw wrongArgument("apply", "op", op, "what defineOp or elementwise gave");
  if (!Array.isArray(inputs)) expectTensors(op.name, "operands", inputs);
  const backend = on ?? inputs[0]?.backend ?? backendFor(op.name, on);
  for (const [i, input] of inputs.entries()) {
    if (!(input instanceof Tensor)) expectTensor(op.name, `operand ${i}`, input);
    if (input.disposed) throw new Error(`${op.name}: operand ${i}, ${input}, is disposed, want a live tensor`);
    if (input.backend !== backend) {
      throw new Error(`${op.name}: operands on ${backend.name} and on ${input.backend.name}, want one backend`);
    }
  }
  if (op.inPlace && isRecording() && inputs.some(isTracked)) {
    throw new Error(`${op.name}: called inside a function that is being differentiated, want it outside`);
  }
  const session = currentSession();
  if (session) {
    session.use(backend);
    for (const input of inputs) session.find(input);
    if (session.isLive(given) && !op.perStep) {
      throw new Error(`${op.name}: takes attributes of each step, want an op that declares them (perStep)`);
    }
  }
  const attrs = session ? session.targetOf(given) : given;
  const outputs = compute(op, inputs, attrs, backend).map(tensorOf);
  if (isRecording() && (op.vjp || op.composed) && inputs.some(isTracked)) {
    const { inputs: savedInputs, outputs: savedOutputs } = op.saves ?? {};
    record(
      op as Op<unknown>, // a node hands its attrs to no other op than its own
      given,
      inputs.map((input, i) => input.alias(savedInputs ? !savedInputs.includes(i) : op.saves !== undefined)),
      outputs.map((output, i) => output.alias(savedOutputs ? !savedOutputs.includes(i) : op.saves !== undefined)),
    );
  }
  tell(op as Op<unknown>, inputs, outputs, given); // observers hand no attrs to it
  return outputs;
}

/**
 * A tensor for an operand that may be a number, in the type of `like` unless another is given.
 * @throws Error naming the op for a number that the type does not hold
 */
function toTensor(name: string, value: TensorLike, like: Tensor, dtype: DType = like.dtype): Tensor {
  if (value instanceof Tensor) return value;
  if (typeof value !== "number") throw wrongArgument(name, "an operand", value, "a tensor or a number");
  if (!isElement(value, dtype)) {
    throw new Error(
      `${name}: the number ${value} with a tensor of ${dtype}, want ${dtype === "bool" ? "0 or 1" : `an ${dtype}`}`,
    );
  }
  return apply(ops.fill, [], { value, dtype }, like.backend)[0];
}

/** √x of a sum of squares. Where that is 0 its derivatives are 0, while those of √ are infinite, and 0 · ∞ is no number. */
function rootOfSquares(x: Tensor): Tensor {
  const isZero = x.equal(0);
  return isZero.where(0, isZero.where(1, x).sqrt());
}

/** Internal: gives a tensor back the storage that it had, with the elements that it has now. */
export function putBack(tensor: Tensor, { storage, layout }: Whereabouts): void {
  const value = tensor.alias(false);
  tensor.storage.release();
  tensor.slot.storage = storage;
  tensor.layout = layout;
  try {
    overwrite(tensor, value);
  } finally {
    releaseAlias(value);
  }
}

/** A tensor that owns elements. */
export function tensorOf({ storage, layout, dtype }: Elements): Tensor {
  const tensor = new Tensor(storage.backend, storage, layout, dtype, newOrigin());
  adopt(tensor);
  return tensor;
}

/** One number for both axes of an image, or [down, across]. */
function pair(name: string, argument: string, value: number | readonly [number, number]): readonly [number, number] {
  if (typeof value === "number") return [value, value];
  if (!Array.isArray(value) || value.length !== 2) {
    throw wrongArgument(name, argument, value, "a number, or [down, across]");
  }
  return value;
}

function windowsOf(name: string, window: number | readonly [number, number], options: PoolOptions): ops.Windows {
  const { stride = window, padding = 0 } = optionsOf(name, options, "{ stride: 2, padding: 1 }");
  return {
    window: pair(name, "window", window),
    stride: pair(name, "stride", stride),
    padding: pair(name, "padding", padding),
  };
}

function newOrigin(): Origin {
  return { node: null, tracked: 0 };
}
