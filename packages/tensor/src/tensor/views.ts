// Methods of Tensor for shapes, axes and slices. Most are views; `pad`, `contiguous` and `cast` write new elements.

import { expectList } from "../argument.ts";
import * as ops from "../ops/index.ts";
import type { Slice } from "../ops/layout/views.ts";
import {
  checkType,
  type DType,
  formatShape,
  isContiguous,
  resolveAxes,
  resolveAxis,
  type Shape,
  ShapeError,
  sameShape,
  sizeOf,
} from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Handle } from "./handle.ts";

const SHAPE = "a list of integers, such as [2, 3]";

/** The same elements in other shapes, orders and types. */
export abstract class Views extends Handle {
  /**
   * The same elements, in row-major order, in another shape. One axis may be −1: the number of elements gives its length.
   * A view of row-major elements, otherwise a copy.
   * @throws ShapeError when the shape holds another number of elements
   */
  reshape(shape: Shape): Tensor {
    expectList("reshape", "shape", shape, SHAPE);
    return this.only(ops.reshape, { shape });
  }

  /**
   * Axes `from` to `to` (both included) as one axis: [2, 3, 4] from 1 on → [2, 12]. A scalar becomes [1].
   * @throws ShapeError for an axis outside of [−rank, rank − 1]
   */
  flatten(from = 0, to = -1): Tensor {
    if (this.rank === 0) return this.reshape([1]);
    const [first, last] = [resolveAxis("flatten", from, this.rank), resolveAxis("flatten", to, this.rank)];
    return this.reshape([
      ...this.shape.slice(0, first),
      sizeOf(this.shape.slice(first, last + 1)),
      ...this.shape.slice(last + 1),
    ]);
  }

  /**
   * Reorders the axes: axis k of the result is axis `axes[k]` of this tensor. A view.
   * @param axes each axis once, counted from 0
   * @throws ShapeError when an axis is missing or repeated
   */
  permute(axes: readonly number[]): Tensor {
    expectList("permute", "axes", axes, "a list of all axes, such as [1, 0]");
    return this.only(ops.permute, { axes });
  }

  /**
   * Exchanges two axes, by default the last two. A view.
   * @throws ShapeError for an axis outside of [−rank, rank − 1]
   */
  transpose(a = -2, b = -1): Tensor {
    const axes = Array.from({ length: this.rank }, (_, k) => k);
    const [i, j] = [resolveAxis("transpose", a, this.rank), resolveAxis("transpose", b, this.rank)];
    [axes[i], axes[j]] = [j, i];
    return this.permute(axes);
  }

  /**
   * Repeats axes of size 1, and adds axes on the left, to reach `shape`. A view: no element is copied.
   * @throws ShapeError unless each axis, from the right, is 1 or already has the length wanted
   */
  expand(shape: Shape): Tensor {
    expectList("expand", "shape", shape, SHAPE);
    return sameShape(shape, this.shape) ? this.self : this.only(ops.expand, { shape });
  }

  /**
   * Inserts an axis of size 1 before `axis`: [2, 3] at 1 → [2, 1, 3]. −1 appends one.
   * @throws ShapeError for an axis outside of [−rank − 1, rank]
   */
  unsqueeze(axis: number): Tensor {
    const at = resolveAxis("unsqueeze", axis, this.rank + 1);
    return this.reshape([...this.shape.slice(0, at), 1, ...this.shape.slice(at)]);
  }

  /**
   * Removes the axis of size 1 at `axis`, or every axis of size 1 when none is given.
   * @throws ShapeError when that axis is not 1
   */
  squeeze(axis?: number): Tensor {
    if (axis === undefined) return this.reshape(this.shape.filter((n) => n !== 1));
    const at = resolveAxis("squeeze", axis, this.rank);
    if (this.shape[at] !== 1) {
      throw new ShapeError(`squeeze: axis ${axis} of ${formatShape(this.shape)}, want an axis of size 1`);
    }
    return this.reshape(this.shape.toSpliced(at, 1));
  }

  /**
   * Part of each axis, with NumPy's rules for x[a:b:step]. A view.
   * @param parts one per leading axis: null for the whole axis; a number for one index, which drops the axis; [from, to, step]
   * with `to` excluded. Negative indices count from the end, and missing bounds are the ends
   * @throws ShapeError for an index outside of the axis, a step of 0, or more parts than axes
   */
  slice(...parts: readonly Slice[]): Tensor {
    const { view, dropped } = ops.resolveSlices(this.shape, parts);
    const sliced = this.only(ops.slice, view);
    return dropped.length === 0 ? sliced : sliced.reshape(sliced.shape.filter((_, k) => !dropped.includes(k)));
  }

  /**
   * Reverses the order along the given axes (all by default). A view.
   * @throws ShapeError for an axis outside of [−rank, rank − 1], or one given twice
   */
  flip(axes?: number | readonly number[]): Tensor {
    const flipped = resolveAxes("flip", axes, this.rank);
    return this.only(ops.slice, {
      shape: this.shape,
      starts: this.shape.map((n, k) => (flipped.includes(k) ? Math.max(0, n - 1) : 0)),
      steps: this.shape.map((_, k) => (flipped.includes(k) ? -1 : 1)),
    });
  }

  /**
   * Adds zeros around the elements.
   * @param amounts [before, after] per axis, integers ≥ 0
   * @throws ShapeError unless there is one pair per axis
   */
  pad(amounts: readonly (readonly [number, number])[]): Tensor {
    return this.only(ops.unslice, ops.padding(this.shape, amounts));
  }

  /**
   * Cuts an axis into consecutive pieces. Each piece is a view.
   * @param sizes the length of each piece, or one length for all (the last piece may be shorter)
   * @throws ShapeError when a list of sizes does not add up to the axis
   */
  split(sizes: number | readonly number[], axis = 0): Tensor[] {
    const at = resolveAxis("split", axis, this.rank);
    return ops.splitBounds(this.shape[at], sizes).map(([from, to]) => {
      const parts: Slice[] = this.shape.map((_, k) => (k === at ? [from, to] : null));
      return this.slice(...parts);
    });
  }

  /** The elements in row-major order: this tensor if they lie so already, otherwise a copy. */
  contiguous(): Tensor {
    return isContiguous(this.layout) ? this.self : this.only(ops.copy, undefined);
  }

  /**
   * The elements in another type; this tensor if it has that type. No gradient flows through other casts.
   * - float32 to int32 or uint32: truncated towards 0, limited to the type's range; NaN becomes 0.
   * - int32 to uint32 and back: modulo 2³².
   * - to bool: 1 unless the element is 0, so NaN becomes 1.
   * @throws Error for a type that is none
   */
  cast(dtype: DType): Tensor {
    return checkType("cast", dtype) === this.dtype ? this.self : this.only(ops.cast, { dtype });
  }
}
