// Lion: steps of one size, along the signs of a blend of gradient and momentum.

import { weightedSum } from "@pkg/tensor";
import { namedParameters } from "../module/parameters.ts";
import { composedUpdate } from "./composedUpdate.ts";
import {
  blanks,
  expectBetas,
  expectInRange,
  expectOptions,
  numbered,
  type Optimizer,
  type OptimizerOptions,
  optimizerOf,
} from "./optimizer.ts";

/** Options of `lion`. Its rate is 3 to 10 times smaller than AdamW's, its weight decay as much larger. */
export interface LionOptions extends OptimizerOptions {
  /** The weights of the past in the step and in the momentum. Default [0.9, 0.99]. */
  readonly betas?: readonly [number, number];
  /** Decoupled. Default 0. */
  readonly weightDecay?: number;
}

/**
 * p ← p − lr · (sign(β₁ m + (1 − β₁) g) + λ p), m ← β₂ m + (1 − β₂) g (Chen et al. 2023, algorithm 2). State: "momentum.0", ….
 * @param module whose `parameters` are trained, or a list of tensors; errors name the paths in it
 * @throws Error naming the option that is out of range
 */
export function lion(module: object, options: LionOptions): Optimizer {
  const named = namedParameters(module);
  expectOptions("lion", options);
  const { betas = [0.9, 0.99], weightDecay = 0 } = options;
  expectBetas("lion", betas);
  expectInRange("lion", "weightDecay", weightDecay, weightDecay >= 0 && weightDecay < Infinity, "a finite number ≥ 0");
  const [beta1, beta2] = betas;
  return optimizerOf("lion", named, options, (parameters) => {
    const kept = blanks(parameters);
    return {
      state: new Map(numbered("momentum", kept)),
      update: composedUpdate(parameters, [kept], ([p, m], g, { learningRate }) => {
        const direction = weightedSum([m, g], [beta1, 1 - beta1]).sign();
        return [
          weightedSum([p, direction], [1 - learningRate * weightDecay, -learningRate]),
          weightedSum([m, g], [beta2, 1 - beta2]),
        ];
      }),
    };
  });
}
