// Methods of Tensor that give bools or choose by them.

import * as ops from "../ops/index.ts";
import { broadcastShapes } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Functions } from "./functions.ts";
import { type TensorLike, toTensor } from "./operand.ts";

/** Comparisons, logic, and the choice between two tensors. */
export abstract class Comparisons extends Functions {
  /** x = b; a bool. */
  equal(b: TensorLike): Tensor {
    return this.binary(ops.equal, b);
  }

  /** x ≠ b; a bool, true of NaN. */
  notEqual(b: TensorLike): Tensor {
    return this.binary(ops.notEqual, b);
  }

  /** x < b; a bool. */
  less(b: TensorLike): Tensor {
    return this.binary(ops.less, b);
  }

  /** x ≤ b; a bool. */
  lessEqual(b: TensorLike): Tensor {
    return this.binary(ops.lessEqual, b);
  }

  /** x > b; a bool. */
  greater(b: TensorLike): Tensor {
    return toTensor("greater", b, this).less(this.self);
  }

  /** x ≥ b; a bool. */
  greaterEqual(b: TensorLike): Tensor {
    return toTensor("greaterEqual", b, this).lessEqual(this.self);
  }

  /** Whether both are true, of bools; as logicalOr and logicalNot. */
  logicalAnd(b: Tensor): Tensor {
    return this.binary(ops.logicalAnd, b);
  }

  /** Whether one of both is true, of bools. */
  logicalOr(b: Tensor): Tensor {
    return this.binary(ops.logicalOr, b);
  }

  /** Whether it is false, of a bool. */
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
    const like = [a, b].find((value) => typeof value === "object");
    const [x, y] = [a, b].map((value) => toTensor("where", value, this, like?.dtype ?? "float32"));
    const shape = broadcastShapes("where", broadcastShapes("where", this.shape, x.shape), y.shape);
    return this.apply(ops.where, [this.expand(shape), x.expand(shape), y.expand(shape)], undefined)[0];
  }
}
