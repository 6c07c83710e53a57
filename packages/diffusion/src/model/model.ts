// What the losses and samplers ask of a network.

import type { Conditioning, Times } from "@pkg/nn";
import type { Tensor } from "@pkg/tensor";

/** A network that predicts, from noised data and the time of each sample, something of the data's shape. */
export interface Model {
  /**
   * Predicts something for each sample of a batch.
   * @param x [batch, ...]
   * @param times one per sample: a list, or a tensor [batch] on x's backend. Losses over the steps of a schedule give int32 tensors,
   * samplers give lists
   */
  forward(x: Tensor, times: Times, conditioning?: Conditioning): Tensor;
}
