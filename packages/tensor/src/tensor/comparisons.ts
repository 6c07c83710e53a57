// Methods of Tensor that give bools, or choose by them.

import * as ops from "../ops/index.ts";
import { broadcastShapes } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Functions } from "./functions.ts";
import { type TensorLike, toTensor } from "./operand.ts";

/** Comparisons, logic, and the choice between two tensors. */
export abstract class Comparisons extends Functions {
  /**
   * x = b, as bools. NaN equals nothing. Operands broadcast. @throws ShapeError when they do not; Error when their types differ
   */
  equal(b: TensorLike): Tensor {
    return this.binary(ops.equal, b);
  }

  /** x ≠ b, as bools. NaN differs from everything. @throws ShapeError when shapes do not broadcast; Error when types differ */
  notEqual(b: TensorLike): Tensor {
    return this.binary(ops.notEqual, b);
  }

  /** x < b, as bools; false if either is NaN. @throws ShapeError when shapes do not broadcast; Error when types differ */
  less(b: TensorLike): Tensor {
    return this.binary(ops.less, b);
  }

  /** x ≤ b, as bools; false if either is NaN. @throws ShapeError when shapes do not broadcast; Error when types differ */
  lessEqual(b: TensorLike): Tensor {
    return this.binary(ops.lessEqual, b);
  }

  /** x > b, as bools; false if either is NaN. @throws ShapeError when shapes do not broadcast; Error when types differ */
  greater(b: TensorLike): Tensor {
    return toTensor("greater", b, this).less(this.self);
  }

  /** x ≥ b, as bools; false if either is NaN. @throws ShapeError when shapes do not broadcast; Error when types differ */
  greaterEqual(b: TensorLike): Tensor {
    return toTensor("greaterEqual", b, this).lessEqual(this.self);
  }

  /** Whether both are true, of bools that broadcast. @throws Error unless both are bools */
  logicalAnd(b: Tensor): Tensor {
    return this.binary(ops.logicalAnd, b);
  }

  /** Whether at least one is true, of bools that broadcast. @throws Error unless both are bools */
  logicalOr(b: Tensor): Tensor {
    return this.binary(ops.logicalOr, b);
  }

  /** Whether it is false, of bools. @throws Error unless this is a bool */
  logicalNot(): Tensor {
    return this.only(ops.logicalNot, undefined);
  }

  /** Whether an element is neither NaN nor infinite, as bools. */
  isFinite(): Tensor {
    return this.only(ops.finite, undefined);
  }

  /** Whether an element is NaN, as bools. */
  isNaN(): Tensor {
    return this.only(ops.nan, undefined);
  }

  /**
   * Element by element: `a` where this bool is true, `b` where it is false. All three broadcast.
   * The operand that is not chosen gets the gradient 0; through a function whose derivative is infinite there, 0 · ∞ = NaN.
   * @param a a tensor, or a number in the type of `b` (float32 if that is a number too); `b` likewise
   * @throws Error unless this is a bool and a and b have one type; ShapeError when shapes do not broadcast
   */
  where(a: TensorLike, b: TensorLike): Tensor {
    const like = [a, b].find((value) => typeof value === "object");
    const [x, y] = [a, b].map((value) => toTensor("where", value, this, like?.dtype ?? "float32"));
    const shape = broadcastShapes("where", broadcastShapes("where", this.shape, x.shape), y.shape);
    return this.apply(ops.where, [this.expand(shape), x.expand(shape), y.expand(shape)], undefined)[0];
  }
}
