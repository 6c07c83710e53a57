// CFG++: guided estimates of the data, and noise put back by the unconditional network.

import { concat, type Tensor, tidy, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type NoisePath, readNoise } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { checkScale } from "./autoguidance.ts";
import { bothBranches, labelsOf } from "./branches.ts";

/** The strength of CFG++. */
export interface CfgPlusPlusOptions {
  /** λ of ε_u + λ (ε_c − ε_u), in [0, 1] in the paper: it neither adds to the condition nor leaves the data's manifold. */
  readonly scale: number;
  /** The number of classes, which stands for no label in a tensor of labels. */
  readonly classes?: number;
}

/**
 * x′ = signal′ x̂₀ + noise′ ε̂_u with x̂₀ of ε_u + λ (ε_c − ε_u): renoised by the unconditional ε̂ (Chung et al. 2024, algorithm 2). A step
 * of DDIM from σ to σ′ is that of `classifierFree` with the scale λ σ / (σ − σ′), which is large at first and λ at last.
 *
 * For solvers that take the model's ε̂ beside its x̂₀: `ddim`. Those that find ε̂ in x beside x̂₀ are guided by λ as always.
 * @returns the path and the model to sample with: the model gives both predictions, one after the other on the last axis, and the path
 * reads x̂₀ of the guided one, and ε̂ of the unconditional one
 * @throws Error for a scale that is not finite; from forward for a call without labels, or with too few or many
 * @example
 * ```ts
 * import { cfgPlusPlus, ddim, finalSample, flowPath, sample } from "@pkg/diffusion";
 * import { mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const network = mlp({ sizes: [2, 8, 2], timeChannels: 4, timeEmbedding: { scale: 1000 }, classes: 3 }, { rng, backend });
 * const { path, model } = cfgPlusPlus(flowPath({ steps: 8 }), network, { scale: 0.6 });
 * const x = await finalSample(sample(ddim(path), model, [4, 2], rng, { labels: [0, 1, 2, 2], backend }));
 * console.log(x.shape); // [4, 2]
 * ```
 */
export function cfgPlusPlus<Path extends NoisePath>(
  path: Path,
  model: Model,
  options: CfgPlusPlusOptions,
): { readonly path: Path; readonly model: Model } {
  expectArguments("cfgPlusPlus", { path, model, options });
  const { scale, classes } = options;
  checkScale("cfgPlusPlus", scale);
  const both: Model & { readonly model: Model } = {
    model, // a field, so that its parameters are found
    forward: (x, times, conditioning = {}) =>
      tidy(() => {
        labelsOf("cfgPlusPlus", x, times, conditioning);
        const { conditional, unconditional } = bothBranches("cfgPlusPlus", model, x, times, conditioning, classes);
        const guided = weightedSum([unconditional, conditional.sub(unconditional)], [1, scale]);
        return concat([guided, unconditional], -1);
      }),
  };
  const part = (predicted: Tensor, k: 0 | 1) => predicted.split(predicted.shape[predicted.rank - 1] / 2, -1)[k];
  return {
    model: both,
    path: {
      ...path,
      isClipped: false, // ε̂ does not follow from x̂₀, clipped or not
      denoise: (predicted, x, level) => path.denoise(part(predicted, 0), x, level),
      noise: (predicted, x, level) => readNoise(path, part(predicted, 1), x, level),
      score: undefined,
    },
  };
}
