// Stochastic gradient descent with momentum.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { namedParameters } from "../module/parameters.ts";
import { composedUpdate } from "./composedUpdate.ts";
import {
  blanks,
  expectBoolean,
  expectInRange,
  expectOptions,
  numbered,
  type Optimizer,
  type OptimizerOptions,
  optimizerOf,
} from "./optimizer.ts";

/** Options of `sgd`. */
export interface SgdOptions extends OptimizerOptions {
  /** μ, the decay rate of the momentum, in [0, 1). Default 0: no momentum, and nothing to keep. */
  readonly momentum?: number;
  /** Looks ahead: steps along g + μ b instead of b. Wants a momentum. Default false. */
  readonly nesterov?: boolean;
  /** λ, added to the gradient as λ p, after it was clipped. Default 0. */
  readonly weightDecay?: number;
}

/**
 * b ← μ b + g + λ p, p ← p − lr · b; with `nesterov` p ← p − lr · (g + λ p + μ b) (Sutskever et al. 2013, in the form of
 * `torch.optim.SGD`). State: "momentum.0", ….
 * @param module whose `parameters` are trained, or a list of tensors; errors name the paths in it
 * @throws Error naming the option that is out of range, and for `nesterov` without momentum
 */
export function sgd(module: object, options: SgdOptions): Optimizer {
  const named = namedParameters(module);
  expectOptions("sgd", options);
  const { momentum = 0, nesterov = false, weightDecay = 0 } = options;
  expectInRange("sgd", "momentum", momentum, momentum >= 0 && momentum < 1, "a number in [0, 1)");
  expectInRange("sgd", "weightDecay", weightDecay, weightDecay >= 0 && weightDecay < Infinity, "a finite number ≥ 0");
  expectBoolean("sgd", "nesterov", nesterov);
  if (nesterov && momentum === 0) throw new Error("sgd: nesterov with momentum 0, want a momentum above 0");
  return optimizerOf("sgd", named, options, (parameters) => {
    const kept = momentum === 0 ? [] : [blanks(parameters)];
    const next = ([p, buffer]: readonly Tensor[], g: Tensor, { learningRate }: { learningRate: number }): Tensor[] => {
      const gradient = weightDecay === 0 ? g : weightedSum([g, p], [1, weightDecay]);
      if (!buffer) return [weightedSum([p, gradient], [1, -learningRate])];
      const b = weightedSum([buffer, gradient], [momentum, 1]);
      const along = nesterov ? weightedSum([gradient, b], [1, momentum]) : b;
      return [weightedSum([p, along], [1, -learningRate]), b];
    };
    return {
      state: new Map(kept.flatMap((tensors) => numbered("momentum", tensors))),
      update: composedUpdate(parameters, kept, next),
    };
  });
}
