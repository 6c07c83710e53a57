// Heun's method on the probability-flow ODE with churn: EDM's sampler.

import type { NoiseLevel } from "../level.ts";
import { sigmaOf } from "../level.ts";
import type { NoisePath } from "../path.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./euler.ts";

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

/**
 * The stochastic sampler of EDM (Karras et al. 2022, algorithm 2): σ̂ = σ (1 + min(S_churn / n, √2 − 1)), a step of Heun's method
 * from there, and of Euler's at the end, where σ is 0. Of order 2 without churn; two calls of the model a step.
 * @throws Error for churn, scale or bounds below 0
 */
export function heun(
  path: NoisePath,
  { churn = 0, from = 0, to = Number.POSITIVE_INFINITY, scale = 1 }: Churn = {},
): Sampler {
  for (const [name, value] of Object.entries({ churn, from, to, scale }))
    if (!(value >= 0)) throw new Error(`heun: ${name} is ${value}, want a number from 0 on`);
  const { levels, prior } = path;
  const more = Math.min(churn / (levels.length - 1), Math.SQRT2 - 1);
  return {
    levels,
    prior,
    step({ x, index, predict, rng }) {
      const [level, next] = levels.slice(index);
      const sigma = sigmaOf(level);
      const isChurned = more > 0 && sigma >= from && sigma <= to;
      const here: NoiseLevel = isChurned ? path.at(sigma * (1 + more)) : level;
      const added = here.signal * Math.sqrt(Math.max(0, sigmaOf(here) ** 2 - sigma ** 2)) * scale;
      const start = isChurned
        ? x.mul(here.signal / level.signal).add(rng.normal(x.shape, { backend: x.backend }).mul(added))
        : x;
      const denoised = path.denoise(predict(start, here.t), start, here);
      const euler = along(start, denoised, here, next);
      if (next.noise === 0) return { x: euler, denoised };
      const after = path.denoise(predict(euler, next.t), euler, next);
      // The slope (x − D) / σ at the end as one at the beginning: D that would give it, there.
      const [a, b] = [sigmaOf(here), sigmaOf(next)];
      const corrected = start
        .mul(1 / here.signal)
        .sub(euler.mul(a / b / next.signal))
        .add(after.mul(a / b));
      return { x: along(start, denoised.add(corrected).mul(0.5), here, next), denoised };
    },
  };
}
