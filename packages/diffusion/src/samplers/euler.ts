// Euler's method on the probability-flow ODE, and the one move that first-order samplers share.

import type { Tensor } from "@pkg/tensor";
import type { NoiseLevel } from "../level.ts";
import type { NoisePath } from "../path.ts";
import type { Sampler } from "../sampler.ts";

/**
 * Euler's method for dx/dσ = (x − D(x; σ)) / σ in x / signal (Karras et al. 2022, algorithm 1 without its correction): DDIM with
 * η = 0, on any path. Of order 1.
 */
export function euler(path: NoisePath): Sampler {
  const { levels, prior } = path;
  return {
    levels,
    prior,
    step({ x, index, predict }) {
      const [level, next] = levels.slice(index);
      const denoised = path.denoise(predict(x, level.t), x, level);
      return { x: along(x, denoised, level, next), denoised };
    },
  };
}

/** Where x gets to at another level when x̂₀ (and with it ε̂) stays: signal′ x̂₀ + noise′ ε̂. */
export function along(x: Tensor, denoised: Tensor, from: NoiseLevel, to: NoiseLevel): Tensor {
  const ratio = to.noise / from.noise;
  return x.mul(ratio).add(denoised.mul(to.signal - from.signal * ratio));
}
