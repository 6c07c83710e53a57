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
  /** x + b. */
  add(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, b) : this.binary(ops.add, b);
  }

  /** x − b. */
  sub(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(1, -b) : this.binary(ops.sub, b);
  }

  /** x · b, element by element; `matmul` is the matrix product. */
  mul(b: TensorLike): Tensor {
    return this.scales(b) ? this.affine(b, 0) : this.binary(ops.mul, b);
  }

  /** x / b. */
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
    return this.apply(ops.lerp, [this.self, b], { weight })[0];
  }

  /** xᵇ; NaN of a negative x unless b is whole. At x = 0 the derivative by b is 0 if b ≥ 0. */
  pow(b: TensorLike): Tensor {
    return typeof b === "number" ? this.only(ops.powScalar, { exponent: b }) : this.binary(ops.pow, b);
  }

  /** −x. */
  neg(): Tensor {
    return this.affine(-1, 0);
  }

  /** |x|; its gradient at 0 is 0. */
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

  /** Whether an operand is a number that `affine` can carry. */
  private scales(b: TensorLike): b is number {
    return typeof b === "number" && this.dtype === "float32";
  }

  protected binary(op: Op, b: TensorLike): Tensor {
    const other = toTensor(op.name, b, this);
    const shape = broadcastShapes(op.name, this.shape, other.shape);
    return this.apply(op, [this.expand(shape), other.expand(shape)], undefined)[0];
  }
}
