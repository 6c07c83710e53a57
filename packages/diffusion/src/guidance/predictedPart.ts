// Which part of a model's output guidance may change: not the channels of learned variances.

import type { Tensor } from "@pkg/tensor";
import { splitVariance } from "../model/variance.ts";

/** A model's prediction for x, and the raw variance where it has as many channels again. @throws ShapeError when it is neither */
export function predictedPart(output: Tensor, x: Tensor): { prediction: Tensor; raw?: Tensor } {
  return splitVariance(output, { isLearned: output.shape[output.rank - 1] !== x.shape[x.rank - 1] }, x.shape);
}
