// Euler's method on the probability-flow ODE.

import type { NoisePath } from "../../forward/path.ts";
import { type Churn, churner } from "../table/churn.ts";
import { defineSolver } from "../table/solver.ts";
import { ask } from "../table/step.ts";
import { along } from "../table/terms.ts";

/**
 * Euler's method for dx/dσ = (x − D(x; σ)) / σ in x / signal (Karras et al. 2022, algorithm 2 without its correction): DDIM with
 * η = 0, on any path. Of order 1.
 * @throws Error for churn, scale or bounds below 0
 */
export const euler = defineSolver({
  name: "euler",
  source: "Karras et al. 2022, algorithm 2 without its correction",
  order: 1,
  calls: 1,
  variants: { "churn 5": { options: { churn: 5 } } },
  table(path: NoisePath, options: Churn) {
    const begin = churner("euler", path, options);
    return ({ from, to }) => {
      const { rows, x, level } = begin(from);
      return { rows: { ...rows, data: ask(x, level), next: along(x, "data", level, to) } };
    };
  },
});
