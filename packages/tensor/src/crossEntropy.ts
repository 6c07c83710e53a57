// The loss of classification: how improbable the right classes are under a softmax of logits.

import { tensor } from "./create.ts";
import { tidy } from "./memory.ts";
import type { NumberArray } from "./op.ts";
import { formatShape, ShapeError, sameShape, sizeOf } from "./shape.ts";
import { type NestedNumbers, Tensor } from "./tensor.ts";

/**
 * −log softmax(logits)[label], the cross-entropy between labels and logits, in nats.
 * @param logits [..., classes]
 * @param labels [...], int32 in 0 … classes − 1, or such numbers on the host (a typed array in row-major order)
 * @param options `reduction`: the "mean" over all labels (default), their "sum", or "none"
 * @returns [], or for "none" the shape of the labels
 * @throws ShapeError when the shapes do not fit; Error for labels that are no class, of a tensor on the host's backends only
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor | NestedNumbers | NumberArray,
  { reduction = "mean" }: { readonly reduction?: "mean" | "sum" | "none" } = {},
): Tensor {
  const classes = logits.shape.at(-1);
  if (classes === undefined) throw new ShapeError("crossEntropy: logits [], want [..., classes]");
  const shape = logits.shape.slice(0, -1);
  return tidy(() => {
    const right = labels instanceof Tensor ? labels : onHost(labels, shape, classes, logits);
    if (right.dtype !== "int32" || !sameShape(right.shape, shape)) {
      throw new ShapeError(
        `crossEntropy: logits ${formatShape(logits.shape)}, labels ${right.dtype} ${formatShape(right.shape)}, want int32 ${formatShape(shape)}`,
      );
    }
    const losses = logits
      .logSoftmax()
      .gatherAlong(right.reshape([...shape, 1]))
      .reshape(shape)
      .neg();
    return reduction === "none" ? losses : losses[reduction]();
  });
}

function onHost(
  labels: NestedNumbers | NumberArray,
  shape: readonly number[],
  classes: number,
  { backend }: Tensor,
): Tensor {
  const values = [labels].flat(Number.POSITIVE_INFINITY).flatMap((part) => …);
}
