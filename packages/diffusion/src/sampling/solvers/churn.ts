// EDM's churn: noise that a step adds before it takes more away.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectKind } from "../../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { NoiseSource } from "../sampler.ts";
import { checkNonNegative } from "./checkOptions.ts";
import { liveLevel } from "./liveLevels.ts";

/** How much noise each step adds before it takes more away; by default none. */
export interface Churn {
  /** S_churn, over all steps. Default 0. */
  readonly churn?: number;
  /** Churn only at σ in [from, to]. Default: everywhere. */
  readonly from?: number;
  readonly to?: number;
  /** S_noise, the standard deviation of the new noise. Default 1. */
  readonly scale?: number;
}

/** The beginning of steps that churn. */
export interface Churner {
  /** Whether a step adds noise. */
  isChurned(index: number): boolean;
  /** Takes x from the level of a step, which is live, to that where the step begins. */
  apply(
    x: Tensor,
    level: NoiseLevel,
    index: number,
    rng: NoiseSource,
  ): { readonly x: Tensor; readonly level: NoiseLevel };
}

/** Steps from σ to σ̂ = σ (1 + min(S_churn / n, √2 − 1)), lines 4 to 6 of Karras et al. 2022, algorithm 2. */
export function churner(name: string, path: NoisePath, options: Churn): Churner {
  expectKind(name, "options", options, "churn");
  const { churn = 0, from = 0, to = Number.POSITIVE_INFINITY, scale = 1 } = options;
  checkNonNegative(name, { churn, from, to, scale });
  const { levels } = path;
  const more = Math.min(churn / (levels.length - 1), Math.SQRT2 - 1);
  const isChurned = (index: number) => {
    const sigma = sigmaOf(levels[index]);
    return more > 0 && sigma >= from && sigma <= to;
  };
  return {
    isChurned,
    apply(x, level, index, rng) {
      if (!isChurned(index)) return { x, level };
      const here = liveLevel(() => path.at(sigmaOf(level) * (1 + more)));
      const noise = rng.normal(x.shape, { backend: x.backend });
      const noisier = weightedSum([x, noise], () => [
        here.signal / level.signal,
        here.signal * Math.sqrt(sigmaOf(here) ** 2 - sigmaOf(level) ** 2) * scale,
      ]);
      return { x: noisier, level: here };
    },
  };
}
