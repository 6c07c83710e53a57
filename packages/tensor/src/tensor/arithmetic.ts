// Methods of Tensor for arithmetic, element by element: sums and products, absolute values, rounding, limits.

import { expectNumber } from "../argument.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/index.ts";
import { broadcastShapes } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { type TensorLike, toTensor } from "./operand.ts";
import { Views } from "./views.ts";

/** Arithmetic of elements. A second operand broadcasts as in NumPy. */
export abstract class Arithmetic extends Views {
  /** x + b. Operands broadcast as in NumPy. @throws ShapeError when they do not; Error when their types differ */
  add(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, b) : this.binary(ops.add, b);
  }

  /** x − b. Operands broadcast as in NumPy. @throws ShapeError when they do not; Error when their types differ */
  sub(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, -b) : this.binary(ops.sub, b);
  }

  /**
   * x · b, element by element; `matmul` multiplies matrices. @throws ShapeError when they do not broadcast; Error when types differ
   */
  mul(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(b, 0) : this.binary(ops.mul, b);
  }

  /** x / b, for float32. x / 0 is ±∞, and 0 / 0 is NaN. @throws ShapeError when shapes do not broadcast; Error for integers */
  div(b: TensorLike): Tensor {
    return this.binary(ops.div, b);
  }

  /** scale · x + shift in one pass, for float32. */
  affine(scale: number, shift: number): Tensor {
    expectNumber("affine", "scale", scale);
    expectNumber("affine", "shift", shift);
    return this.only(ops.affine, { scale, shift });
  }

  /**
   * (1 − weight) · x + weight · b in one pass. `b` has the shape of x: it does not broadcast.
   * @param weight any number; 0 gives x, 1 gives b
   * @throws ShapeError when shapes differ
   */
  lerp(b: Tensor, weight: number): Tensor {
    expectNumber("lerp", "weight", weight);
    return this.apply(ops.lerp, [this.self, b], { weight })[0];
  }

  /**
   * xᵇ. NaN for negative x unless b is an integer. At x = 0 with b ≥ 0 the derivative by b is 0.
   * @throws ShapeError when shapes do not broadcast
   */
  pow(b: TensorLike): Tensor {
    return typeof b === "number" ? this.only(ops.powScalar, { exponent: b }) : this.binary(ops.pow, b);
  }

  /** −x, for float32. */
  neg(): Tensor {
    return this.affine(-1, 0);
  }

  /** |x|. The gradient at 0 is 0. */
  abs(): Tensor {
    return this.only(ops.abs, undefined);
  }

  /** −1, 0 or 1. The gradient is 0. */
  sign(): Tensor {
    return this.only(ops.sign, undefined);
  }

  /** The largest integer ≤ x. The gradient is 0. */
  floor(): Tensor {
    return this.only(ops.floor, undefined);
  }

  /** The smallest integer ≥ x. The gradient is 0. */
  ceil(): Tensor {
    return this.only(ops.ceil, undefined);
  }

  /** The nearest integer; a half goes to the even neighbour. The gradient is 0. */
  round(): Tensor {
    return this.only(ops.round, undefined);
  }

  /**
   * The larger of two elements; NaN if one of them is. Where they are equal each gets half of the gradient.
   * @throws ShapeError when shapes do not broadcast; Error when types differ
   */
  maximum(b: TensorLike): Tensor {
    return this.binary(ops.maximum, b);
  }

  /**
   * The smaller of two elements; NaN if one of them is. Where they are equal each gets half of the gradient.
   * @throws ShapeError when shapes do not broadcast; Error when types differ
   */
  minimum(b: TensorLike): Tensor {
    return this.binary(ops.minimum, b);
  }

  /** Limits the elements to [lo, hi]. The gradient is 0 outside. @throws Error unless lo ≤ hi */
  clamp(lo: number, hi: number): Tensor {
    expectNumber("clamp", "lo", lo);
    expectNumber("clamp", "hi", hi);
    if (!(lo <= hi)) throw new Error(`clamp: from ${lo} to ${hi}, want lo ≤ hi`);
    return this.only(ops.clamp, { lo, hi });
  }

  /** Whether an operand is a number that `affine` can carry. */
  private scales(b: TensorLike): b is number {
    return typeof b === "number" && this.dtype === "float32";
  }

  /** An op of two operands, which broadcast. */
  protected binary(op: Op, b: TensorLike): Tensor {
    const other = toTensor(op.name, b, this);
    const shape = broadcastShapes(op.name, this.shape, other.shape);
    return this.apply(op, [this.expand(shape), other.expand(shape)], undefined)[0];
  }
}
