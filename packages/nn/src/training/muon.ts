// Muon: matrices step along their orthogonalised momentum, all other parameters by AdamW.

import { weightedSum } from "@pkg/tensor";
import { isEdge, namedParameters } from "../module/parameters.ts";
import { type AdamWConstants, adamWUpdate, expectAdamW } from "./adamW.ts";
import { composedUpdate } from "./composedUpdate.ts";
import { newtonSchulz } from "./newtonSchulz.ts";
import {
  blanks,
  expectBoolean,
  expectInRange,
  expectOptions,
  numbered,
  type Optimizer,
  type OptimizerOptions,
  optimizerOf,
  type UpdateTime,
} from "./optimizer.ts";

/** Options of `muon`; those of AdamW are for the parameters that are no matrices. */
export interface MuonOptions extends OptimizerOptions, AdamWConstants {
  /** μ, the decay rate of the momentum of matrices, in [0, 1). Default 0.95. */
  readonly momentum?: number;
  /** Orthogonalises g + μ b instead of b. Default true. */
  readonly nesterov?: boolean;
}

/**
 * b ← μ b + g, p ← (1 − lr λ) p − lr · 0.2 √max(rows, columns) · `newtonSchulz`(g + μ b) for each matrix (Jordan 2024). The factor makes
 * the step as long as AdamW's usually is, so that both take one learning rate (Liu et al. 2025, eq. 4).
 *
 * Kernels of convolutions are matrices [height · width · in, out]. AdamW updates vectors, and what networks mark with `edge`: tables of
 * embeddings, first and last layers. State: "momentum.k" of the matrices, "first.k" and "second.k" of the others, in their order.
 * @param module whose `parameters` are trained, or a list of tensors; errors name the paths in it
 * @throws Error naming the option that is out of range
 */
export function muon(module: object, options: MuonOptions): Optimizer {
  const named = namedParameters(module);
  expectOptions("muon", options);
  const { momentum = 0.95, nesterov = true, weightDecay = 0 } = options;
  expectAdamW("muon", options);
  expectInRange("muon", "momentum", momentum, momentum >= 0 && momentum < 1, "a number in [0, 1)");
  expectBoolean("muon", "nesterov", nesterov);
  return optimizerOf("muon", named, options, (parameters) => {
    const isMatrix = parameters.map((p) => p.shape.length >= 2 && !isEdge(p));
    const [matrices, others] = [true, false].map((wanted) =>
      [...parameters.keys()].filter((k) => isMatrix[k] === wanted),
    );
    const kept = blanks(matrices.map((k) => parameters[k]));
    const matrixUpdate = composedUpdate(
      matrices.map((k) => parameters[k]),
      [kept],
      ([p, buffer], g, { learningRate }: UpdateTime) => {
        const b = weightedSum([buffer, g], [momentum, 1]);
        const columns = p.shape[p.shape.length - 1];
        const rows = p.size / columns;
        const along = newtonSchulz((nesterov ? weightedSum([g, b], [1, momentum]) : b).reshape([rows, columns]));
        const step = -learningRate * 0.2 * Math.sqrt(Math.max(rows, columns));
        return [weightedSum([p, along.reshape(p.shape)], [1 - learningRate * weightDecay, step]), b];
      },
    );
    const rest = adamWUpdate(
      others.map((k) => parameters[k]),
      options,
    );
    return {
      betas: rest.betas,
      state: new Map([...numbered("momentum", kept), ...rest.state]),
      update(indices, gradients, scale, time) {
        const control = scale();
        const among = (own: readonly number[]) => {
          const places = [...indices.keys()].filter((at) => own.includes(indices[at]));
          return [places.map((at) => own.indexOf(indices[at])), places.map((at) => gradients[at])] as const;
        };
        matrixUpdate(...among(matrices), () => control, time);
        rest.overwrite(...among(others), control, rest.attrsAt(time));
      },
    };
  });
}
