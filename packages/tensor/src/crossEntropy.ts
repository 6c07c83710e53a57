// The cross-entropy loss of classification.

import { expectList, expectTensor, optionsOf, wrongArgument } from "./argument.ts";
import { tensor } from "./create.ts";
import { tidy } from "./memory/memory.ts";
import { formatShape, type Shape, ShapeError, sameShape, sizeOf } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/**
 * The cross-entropy −ln softmax(logits)[label] in nats.
 * @param logits [..., classes]
 * @param labels int32 [...], or as many integers in row-major order; each in 0 … classes − 1
 * @param options `reduction`: "mean" over the labels (the default), "sum", or "none"
 * @returns [], or for "none" the shape of the labels
 * @throws ShapeError when shapes do not fit; Error for a label in a list outside of the classes: of one in a tensor the loss is NaN
 */
export function crossEntropy(
  logits: Tensor,
  labels: Tensor | readonly number[] | Int32Array,
  options: { readonly reduction?: "mean" | "sum" | "none" } = {},
): Tensor {
  const { reduction = "mean" } = optionsOf("crossEntropy", options, '{ reduction: "sum" }');
  if (!["mean", "sum", "none"].includes(reduction)) {
    throw wrongArgument("crossEntropy", "reduction", reduction, '"mean", "sum" or "none"');
  }
  expectTensor("crossEntropy", "logits", logits);
  if (!(labels instanceof Tensor || labels instanceof Int32Array)) {
    expectList("crossEntropy", "labels", labels, "an int32 tensor, or a list of integers");
  }
  const classes = logits.shape.at(-1);
  if (classes === undefined) throw new ShapeError("crossEntropy: logits [], want [..., classes]");
  const shape = logits.shape.slice(0, -1);
  return tidy(() => {
    const right =
      labels instanceof Tensor
        ? labels
        : tensor(checkedLabels(labels, shape, classes), { backend: logits.backend, shape });
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

function checkedLabels(labels: ArrayLike<number>, shape: Shape, classes: number): Int32Array {
  if (labels.length !== sizeOf(shape)) {
    throw new ShapeError(`crossEntropy: ${labels.length} labels for ${formatShape(shape)}, want ${sizeOf(shape)}`);
  }
  for (const label of Array.from(labels)) {
    if (!(Number.isInteger(label) && label >= 0 && label < classes)) {
      throw new Error(`crossEntropy: label ${label}, want an integer from 0 to ${classes - 1}`);
    }
  }
  return Int32Array.from(labels);
}
