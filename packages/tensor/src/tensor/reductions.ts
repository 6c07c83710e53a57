// Methods of Tensor that sum, average, search and sort along axes.

import { expectNumber, optionsOf } from "../argument.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/index.ts";
import { formatShape, resolveAxes, resolveAxis, ShapeError, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Comparisons } from "./comparisons.ts";

/** Whether a reduction keeps the axes that it reduces, with size 1. */
export interface KeepOptions {
  readonly keepAxes?: boolean;
}

const KEEP = "{ keepAxes: true }";

/** Reductions over axes, running sums, and the order of elements. */
export abstract class Reductions extends Comparisons {
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
    const sorted = this.apply(ops.sort, [this.transpose(at, last)], { descending });
    const [values, indices] = sorted.map((x) => x.transpose(at, last));
    return { values, indices };
  }

  private reduce(
    op: Op<{ axes: readonly number[] }>,
    axes: number | readonly number[] | undefined,
    keepAxes: boolean,
  ): Tensor {
    const reduced = resolveAxes(op.name, axes, this.rank);
    if (reduced.length === 0) return this.self;
    const kept = this.only(op, { axes: reduced });
    return keepAxes ? kept : kept.reshape(this.shape.filter((_, k) => !reduced.includes(k)));
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
}

/** √x of a sum of squares. Where that is 0 its derivatives are 0, while those of √ are infinite, and 0 · ∞ is no number. */
function rootOfSquares(x: Tensor): Tensor {
  const isZero = x.equal(0);
  return isZero.where(0, isZero.where(1, x).sqrt());
}
