// Euler's method on the probability-flow ODE.

import { expectArguments } from "../../arguments.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./along.ts";
import { type Churn, churner } from "./churn.ts";
import { stepLevels } from "./liveLevels.ts";

/**
 * Euler's method for dx/dσ = (x − D(x; σ)) / σ in x / signal (Karras et al. 2022, algorithm 2 without its correction): DDIM with
 * η = 0, on any path. Of order 1.
 * @throws Error for churn, scale or bounds below 0
 */
export function euler(path: NoisePath, churn: Churn = {}): Sampler {
  expectArguments("euler", { path });
  const { levels, prior } = path;
  const churned = churner("euler", path, churn);
  return {
    levels,
    prior,
    form: churned.isChurned,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const start = churned.apply(x, level, index, rng);
      const denoised = path.denoise(predict(start.x, start.level), start.x, start.level);
      return { x: along(start.x, denoised, start.level, next), denoised };
    },
  };
}
