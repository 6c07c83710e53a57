// Methods of Tensor that sum, average, search and sort along axes.

import { expectNumber, optionsOf } from "../argument.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/index.ts";
import { formatShape, resolveAxes, resolveAxis, ShapeError, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Comparisons } from "./comparisons.ts";

/** Whether a reduction keeps the axes that it reduces, with size 1. */
export interface KeepOptions {
  /** Default false: they are dropped. */
  readonly keepAxes?: boolean;
}

const KEEP = "{ keepAxes: true }";

/** Reductions over axes, running sums, and the order of elements. */
export abstract class Reductions extends Comparisons {
  /**
   * Σ x over the given axes, all by default. The axes are dropped unless `keepAxes`.
   * @throws ShapeError for an axis outside of [−rank, rank − 1], or one given twice, as in every reduction
   */
  sum(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("sum", options, KEEP);
    return this.reduce(ops.sum, axes, keepAxes);
  }

  /** The mean over the given axes; NaN over no elements. */
  mean(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("mean", options, KEEP);
    const reduced = resolveAxes("mean", axes, this.rank);
    const count = reduced.reduce((n, axis) => n * this.shape[axis], 1);
    return this.sum(reduced, { keepAxes }).mul(1 / count);
  }

  /**
   * The largest element over the given axes; NaN if one of them is. Equal elements share the gradient.
   * @throws ShapeError over no elements
   */
  max(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("max", options, KEEP);
    return this.reduce(ops.max, axes, keepAxes);
  }

  /**
   * The smallest element over the given axes; NaN if one of them is. Equal elements share the gradient.
   * @throws ShapeError over no elements
   */
  min(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("min", options, KEEP);
    return this.neg().max(axes, { keepAxes }).neg();
  }

  /**
   * Σ (x − mean)² / (n − correction) over the given axes, with n the number of elements.
   * @param options `correction`: 1 (the default) for the unbiased estimate from a sample, 0 for the variance of the elements
   */
  variance(axes?: number | readonly number[], options: KeepOptions & { correction?: number } = {}): Tensor {
    const { keepAxes = false, correction = 1 } = optionsOf("variance", options, KEEP);
    expectNumber("variance", "correction", correction);
    const reduced = resolveAxes("variance", axes, this.rank);
    const count = reduced.reduce((n, axis) => n * this.shape[axis], 1);
    const squares = this.sub(this.mean(reduced, { keepAxes: true })).square();
    return squares.sum(reduced, { keepAxes }).mul(1 / (count - correction));
  }

  /**
   * The standard deviation √variance over the given axes. Its gradient is 0 where it is 0.
   * @param options `correction` as in `variance`
   */
  std(axes?: number | readonly number[], options: KeepOptions & { correction?: number } = {}): Tensor {
    const { keepAxes = false, correction = 1 } = optionsOf("std", options, KEEP);
    expectNumber("std", "correction", correction);
    return rootOfSquares(this.variance(resolveAxes("std", axes, this.rank), { keepAxes, correction }));
  }

  /** The Euclidean norm √Σ x² over the given axes. Its gradient is 0 where it is 0. */
  norm(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("norm", options, KEEP);
    return rootOfSquares(this.square().sum(resolveAxes("norm", axes, this.rank), { keepAxes }));
  }

  /** ln Σ eˣ over the given axes, without overflow for large x. */
  logSumExp(axes?: number | readonly number[], options: KeepOptions = {}): Tensor {
    const { keepAxes = false } = optionsOf("logSumExp", options, KEEP);
    return this.overLast("logSumExp", axes, keepAxes, (rows) => rows.only(ops.logSumExp, undefined));
  }

  /**
   * The q-quantile over the given axes: the sorted elements at index q · (n − 1), linear between two of them, as NumPy's and
   * PyTorch's default. NaN if one of the elements is.
   * @param q in [0, 1]
   * @throws Error for q outside of [0, 1]; ShapeError over no elements
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

  /**
   * The index (int32) of the largest element along an axis, which is dropped.
   * Of equal elements the first counts; a NaN counts as the largest.
   * @throws ShapeError for an axis without elements
   */
  argmax(axis = -1): Tensor {
    const at = resolveAxis("argmax", axis, this.rank);
    return this.only(ops.argmax, { axis: at }).reshape(this.shape.toSpliced(at, 1));
  }

  /**
   * The index (int32) of the smallest element along an axis, which is dropped.
   * Of equal elements the first counts; a NaN counts as the smallest.
   * @throws ShapeError for an axis without elements
   */
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
   * The elements along an axis in ascending order, and the index (int32) that each had before.
   * The sort is stable, and NaN counts as the largest. The gradient takes time quadratic in the length of the axis.
   * @throws ShapeError for a scalar
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
