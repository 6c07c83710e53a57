// Joining several tensors into one: concat and stack.

import { expectTensors } from "./argument.ts";
import { concat as concatOp } from "./ops/index.ts";
import { resolveAxis } from "./shape.ts";
import { apply, type Tensor } from "./tensor.ts";

/**
 * Joins tensors along an axis.
 * @param tensors at least one; all axes but this one have equal lengths, and the types are equal
 * @throws ShapeError listing the shapes when they do not fit; Error when there are none
 */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  expectTensors("concat", "tensors", tensors);
  const [first] = tensors;
  if (!first) throw new Error("concat: no tensors, want at least one");
  return apply(concatOp, tensors, { axis: resolveAxis("concat", axis, first.rank) }, first.backend)[0];
}

/** Joins tensors of equal shapes along a new axis. @throws as `concat` */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  expectTensors("stack", "tensors", tensors);
  return concat(
    tensors.map((tensor) => tensor.unsqueeze(axis)),
    axis,
  );
}
