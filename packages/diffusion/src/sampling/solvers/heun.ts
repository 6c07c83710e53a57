// Heun's method on the probability-flow ODE with churn: EDM's sampler.

import { expectArguments } from "../../arguments.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { along, alongNoise, noiseIn } from "./along.ts";
import { type Churn, churner } from "./churn.ts";
import { isEulerStep, stepLevels } from "./liveLevels.ts";

/**
 * The stochastic sampler of EDM (Karras et al. 2022, algorithm 2): σ̂ = σ (1 + min(S_churn / n, √2 − 1)), a step of Heun's method
 * from there, and of Euler's at the end, where σ is 0, and where σ falls far (`isEulerStep`). Of order 2 without churn; two calls of the
 * model a step.
 * @throws Error for churn, scale or bounds below 0
 */
export function heun(path: NoisePath, churn: Churn = {}): Sampler {
  expectArguments("heun", { path });
  const { levels, prior } = path;
  const churned = churner("heun", path, churn);
  const isEuler = isEulerStep(levels);
  return {
    levels,
    prior,
    form: (index) => `${churned.isChurned(index)} ${isEuler(index)}`,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const start = churned.apply(x, level, index, rng);
      const denoised = path.denoise(predict(start.x, start.level), start.x, start.level);
      const euler = along(start.x, denoised, start.level, next);
      if (isEuler(index)) return { x: euler, denoised };
      const after = path.denoise(predict(euler, next), euler, next);
      // The slope of x / signal in σ is ε̂: the mean of those at both ends.
      const noises = [noiseIn(start.x, denoised, start.level), noiseIn(euler, after, next)];
      return { x: alongNoise(start.x, noises, start.level, next, [0.5, 0.5]), denoised };
    },
  };
}
