// The reverse-time SDE by Euler and Maruyama's method.

import { weightedSum } from "@pkg/tensor";
import { expectKind } from "../../arguments.ts";
import { readScore } from "../../forward/path.ts";
import type { SdePath } from "../../forward/sdePath.ts";
import type { Sampler } from "../sampler.ts";
import { endsAtData, liveLevel } from "./liveLevels.ts";

/**
 * x′ = x − (f(t) x − g(t)² s(x, t)) Δt + g(t) √Δt z, for VP, sub-VP and VE alike (Song et al. 2021, eq. 6 and appendix D). Of weak
 * order 1. A last step to the data is x̂₀; noise enters all others.
 */
export function eulerMaruyama(path: SdePath): Sampler {
  expectKind("eulerMaruyama", "sdePath", path, "path");
  const { sde, levels, times, prior } = path;
  const isLast = endsAtData(levels);
  return {
    levels,
    prior,
    form: isLast,
    step({ x, index, live, predict, rng }) {
      const level = liveLevel(() => levels[live.index]);
      const predicted = predict(x, level);
      const denoised = path.denoise(predicted, x, level);
      if (isLast(index)) return { x: denoised, denoised };
      const score = readScore(path, predicted, x, level);
      const noise = rng.normal(x.shape, { backend: x.backend });
      const weights = () => {
        const t = times[live.index];
        const step = t - times[live.index + 1];
        const diffusion = sde.diffusion(t);
        return [1 - sde.drift(t) * step, diffusion ** 2 * step, diffusion * Math.sqrt(step)];
      };
      return { x: weightedSum([x, score, noise], weights), denoised };
    },
  };
}
