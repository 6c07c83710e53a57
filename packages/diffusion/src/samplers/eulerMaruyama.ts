// The reverse-time SDE by Euler and Maruyama's method.

import { readScore } from "../path.ts";
import type { Sampler } from "../sampler.ts";
import type { SdePath } from "../sdePath.ts";

/**
 * x′ = x − (f(t) x − g(t)² s(x, t)) Δt + g(t) √Δt z, for VP, sub-VP and VE alike (Song et al. 2021, eq. 6 and appendix D). Of weak
 * order 1. A last step to the data is x̂₀; noise enters all others.
 */
export function eulerMaruyama(path: SdePath): Sampler {
  const { sde, levels, times, prior } = path;
  return {
    levels,
    prior,
    step({ x, index, predict, rng }) {
      const [level, t] = [levels[index], times[index]];
      const predicted = predict(x, level.t);
      const denoised = path.denoise(predicted, x, level);
      if (levels[index + 1].noise === 0) return { x: denoised, denoised };
      const step = t - times[index + 1];
      const score = readScore(path, predicted, x, level);
      const [drift, diffusion] = [sde.drift(t), sde.diffusion(t)];
      const mean = x.mul(1 - drift * step).add(score.mul(diffusion ** 2 * step));
      const noise = rng.normal(x.shape, { backend: x.backend }).mul(diffusion * Math.sqrt(step));
      return { x: mean.add(noise), denoised };
    },
  };
}
