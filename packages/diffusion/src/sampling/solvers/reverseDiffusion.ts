// The reverse diffusion sampler: the forward chain's own steps, turned round.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { type NoisePath, readScore } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { endsAtData, stepLevels } from "./liveLevels.ts";

/**
 * x′ = (2 − r) x + G² s + G z, where the forward step between the levels is x = r x′ + G z (Song et al. 2021, eq. 46): G² is
 * σ² − σ′² on σ-levels and β of a schedule's neighbours. Of weak order 1. A last step to the data is x̂₀.
 */
export function reverseDiffusion(path: NoisePath): Sampler {
  expectArguments("reverseDiffusion", { path });
  const { levels, prior } = path;
  const isLast = endsAtData(levels);
  return {
    levels,
    prior,
    form: isLast,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const predicted = predict(x, level);
      const denoised = path.denoise(predicted, x, level);
      if (isLast(index)) return { x: denoised, denoised };
      const score = readScore(path, predicted, x, level);
      const noise = rng.normal(x.shape, { backend: x.backend });
      const weights = () => {
        const ratio = level.signal / next.signal;
        const variance = level.noise ** 2 - (ratio * next.noise) ** 2;
        return [2 - ratio, variance, Math.sqrt(variance)];
      };
      return { x: weightedSum([x, score, noise], weights), denoised };
    },
  };
}
