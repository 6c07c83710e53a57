// Initial values of weights.

import { type Backend, type RandomStream, type Shape, type Tensor, zeros } from "@pkg/tensor";

/** What a layer needs to make its weights. */
export interface InitOptions {
  readonly backend: Backend;
  /** Where the weights are drawn from. */
  readonly rng: RandomStream;
}

/**
 * U(−√(1/fanIn), √(1/fanIn)), PyTorch's default for linear and convolution weights and their biases
 * (He et al. 2015 with a = √5).
 */
export function fanInUniform(shape: Shape, fanIn: number, { backend, rng }: InitOptions): Tensor {
  const bound = 1 / Math.sqrt(fanIn);
  return rng.uniform(shape, { backend, low: -bound, high: bound });
}

/** Zeros with elements of their own. */
export function zeroInit(shape: Shape, { backend }: Pick<InitOptions, "backend">): Tensor {
  return zeros(shape, { backend }).contiguous();
}
