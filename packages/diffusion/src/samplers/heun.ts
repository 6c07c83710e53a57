// Heun's method on the probability-flow ODE with churn: EDM's sampler.

import type { NoisePath } from "../path.ts";
import type { Sampler } from "../sampler.ts";
import { along, alongNoise, noiseIn } from "./along.ts";
import { type Churn, churner } from "./churn.ts";

/**
 * The stochastic sampler of EDM (Karras et al. 2022, algorithm 2): σ̂ = σ (1 + min(S_churn / n, √2 − 1)), a step of Heun's method
 * from there, and of Euler's at the end, where σ is 0. Of order 2 without churn; two calls of the model a step.
 * @throws Error for churn, scale or bounds below 0
 */
export function heun(path: NoisePath, churn: Churn = {}): Sampler {
  const { levels, prior } = path;
  const churned = churner("heun", path, churn);
  return {
    levels,
    prior,
    step({ x, index, predict, rng }) {
      const next = levels[index + 1];
      const start = churned(x, index, rng);
      const denoised = path.denoise(predict(start.x, start.level.t), start.x, start.level);
      const euler = along(start.x, denoised, start.level, next);
      if (next.noise === 0) return { x: euler, denoised };
      const after = path.denoise(predict(euler, next.t), euler, next);
      // The slope of x / signal in σ is ε̂: the mean of those at both ends.
      const noises = [noiseIn(start.x, denoised, start.level), noiseIn(euler, after, next)];
      return { x: alongNoise(start.x, noises, start.level, next, [0.5, 0.5]), denoised };
    },
  };
}
