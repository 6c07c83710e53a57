// The constants of an AdamW update, and the numbers that its kernels take.

import { type Shape, sizeOf } from "../../shape.ts";

/** The constants of an update, with t the number of updates including this one. */
export interface AdamWAttrs {
  /** The step size γ. */
  readonly learningRate: number;
  /** β₁, the decay rate of the first moment, in [0, 1). */
  readonly beta1: number;
  /** β₂, the decay rate of the second moment, in [0, 1). */
  readonly beta2: number;
  /** ε, added to the root of the second moment; above 0. */
  readonly epsilon: number;
  /** λ, the decoupled weight decay; 0 for none. */
  readonly weightDecay: number;
  /** The number of updates including this one, from 1. */
  readonly t: number;
}

/** Whether the scale is [s, 1 / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)] from lossScale: t is not read, and s = 0 skips the update. */
export function isScaled(scale: { readonly shape: Shape }): boolean {
  return sizeOf(scale.shape) === 3;
}

/** The numbers that the kernels take. */
export function constantsOf({ learningRate, beta1, beta2, epsilon, weightDecay, t }: AdamWAttrs, scaled: boolean) {
  return {
    step: scaled ? learningRate : learningRate / (1 - beta1 ** t),
    unbias: scaled ? 1 : 1 / Math.sqrt(1 - beta2 ** t),
    decay: learningRate * weightDecay,
    beta1,
    beta2,
    rest1: 1 - beta1,
    rest2: 1 - beta2,
    epsilon,
  };
}
