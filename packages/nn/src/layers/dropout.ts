// Dropout as a layer: it drops where a random stream is given, in training, and is the identity elsewhere.

import { dropout as dropElements, type RandomStream, type Tensor, wrongArgument } from "@pkg/tensor";

/** Sets each element to 0 with probability `rate`, and divides the others by 1 − rate (Srivastava et al. 2014). */
export interface Dropout {
  /**
   * Any shape → the same.
   * @param rng gives one draw; without it nothing is dropped, and x itself returned
   */
  forward(x: Tensor, rng?: RandomStream): Tensor;
}

/** A dropout layer; it has no state. @param rate in [0, 1) @throws Error for another rate */
export function dropout(rate: number): Dropout {
  if (!(typeof rate === "number" && rate >= 0 && rate < 1))
    throw wrongArgument("dropout", "rate", rate, "a number in [0, 1)");
  return { forward: (x, rng) => (rng && rate > 0 ? dropElements(x, rate, rng) : x) };
}
