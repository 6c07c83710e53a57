// Methods of Tensor that say anew how elements are read: shapes, axes, slices. `pad`, `contiguous` and `cast` write new ones.

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
    return sameShape(shape, this.shape) ? this.self : this.only(ops.expand, { shape });
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
    return isContiguous(this.layout) ? this.self : this.only(ops.copy, undefined);
  }

  /**
   * The elements in another type. Floats become integers by truncation towards 0, limited to the type's ends, and NaN becomes 0.
   * Integers become each other modulo 2³². What is not 0 is true, NaN too.
   */
  cast(dtype: DType): Tensor {
    return checkType("cast", dtype) === this.dtype ? this.self : this.only(ops.cast, { dtype });
  }
}
