// Heun's method on the probability-flow ODE with churn: EDM's sampler.

import type { NoisePath } from "../../forward/path.ts";
import { type Churn, churner } from "../table/churn.ts";
import { isEulerStep } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask } from "../table/step.ts";
import { along, alongNoise, noiseIn } from "../table/terms.ts";

/**
 * The stochastic sampler of EDM (Karras et al. 2022, algorithm 2): σ̂ = σ (1 + min(S_churn / n, √2 − 1)), a step of Heun's method
 * from there, and of Euler's at the end, where σ is 0, and where σ falls far (`isEulerStep`). Of order 2 without churn; two calls of
 * the model per step.
 * @throws Error for churn, scale or bounds below 0
 */
export const heun = defineSolver({
  name: "heun",
  source: "Karras et al. 2022, algorithm 2",
  order: 2,
  calls: 2,
  variants: { "churn 5": { options: { churn: 5 } } },
  table(path: NoisePath, options: Churn) {
    const begin = churner("heun", path, options);
    return (place) => {
      const { rows, x, level } = begin(place.from);
      const data = ask(x, level);
      const euler = along(x, "data", level, place.to);
      if (isEulerStep(place)) return { rows: { ...rows, data, next: euler } };
      return {
        rows: {
          ...rows,
          data,
          euler,
          after: ask("euler", place.to),
          // The slope of x / signal in σ is ε̂: the mean of those at both ends.
          before: noiseIn(x, "data", level),
          behind: noiseIn("euler", "after", place.to),
          next: alongNoise(x, ["before", "behind"], level, place.to, [0.5, 0.5]),
        },
      };
    };
  },
});
