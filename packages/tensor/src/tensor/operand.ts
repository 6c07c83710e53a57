// Operands of methods: tensors, and numbers that stand for tensors.

import { wrongArgument } from "../argument.ts";
import { isElement } from "../element.ts";
import { fill } from "../ops/index.ts";
import type { DType } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Handle } from "./handle.ts";

/** An operand of arithmetic: a tensor, or a number that stands for a tensor full of it. */
export type TensorLike = Tensor | number;

/**
 * A tensor for an operand that may be a number, in the type of `like` unless another is given.
 * @throws Error naming the op for a number that the type does not hold
 */
export function toTensor(name: string, value: TensorLike, like: Handle, dtype: DType = like.dtype): Tensor {
  if (value instanceof Handle) return value;
  if (typeof value !== "number") throw wrongArgument(name, "an operand", value, "a tensor or a number");
  if (!isElement(value, dtype)) {
    throw new Error(
      `${name}: the number ${value} with a tensor of ${dtype}, want ${dtype === "bool" ? "0 or 1" : `an ${dtype}`}`,
    );
  }
  return like.apply(fill, [], { value, dtype })[0];
}
