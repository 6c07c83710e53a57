// What the losses and samplers ask of a network.

import type { Conditioning } from "@pkg/nn";
import type { Tensor } from "@pkg/tensor";

/** A network that predicts, from noised data and the step of each sample, something of the data's shape. */
export interface Model {
  /** @param times one a sample */
  forward(x: Tensor, times: readonly number[], conditioning?: Conditioning): Tensor;
}
