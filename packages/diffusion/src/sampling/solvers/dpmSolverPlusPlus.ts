// DPM-Solver++ as a multistep method, and SDE-DPM-Solver++: one call of the model per step.

import { lambdaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import { checkNonNegative, checkOrder } from "../table/checkOptions.ts";
import { exponentialStep } from "../table/exponential.ts";
import { endsAtData } from "../table/levels.ts";
import { newest, orderAt, places } from "../table/multistep.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, sum } from "../table/step.ts";
import { along } from "../table/terms.ts";

/** The order, form and noise of DPM-Solver++. */
export interface DpmSolverPlusPlusOptions {
  /** How many estimates a step has, in [1, 3]: order 1 is DDIM. Default 2. */
  readonly order?: number;
  /** The form of steps with two estimates: "midpoint" (the paper's 2M; default) or "heun", exact for x̂₀ linear in λ. */
  readonly form?: "midpoint" | "heun";
  /** η: 0 for the ODE (default), 1 for the reverse SDE (SDE-DPM-Solver++). Other values add less or more noise. */
  readonly eta?: number;
  /** The standard deviation of the new noise. Default 1; other values leave the marginals. */
  readonly scale?: number;
  /** Whether the last steps are of order …, 2, 1, which few steps need to be stable. Default true. */
  readonly lowerOrderFinal?: boolean;
}

/**
 * With h = λ′ − λ: x′ = noise′/noise e^{−ηh} x + signal′ Σ_j w_j x̂₀_j + noise′ √(1 − e^{−2ηh}) z, where w integrates e^{−(1+η)(λ′−λ)}
 * times the polynomial in λ through the last `order` estimates (Lu et al. 2022b, algorithm 2, and section 6 for the SDE). The first
 * steps use the estimates that there are by then; the one to the data, where λ is infinite, uses one: x′ = x̂₀.
 * Memory: earlier x̂₀, the newest first.
 * @throws Error for another order, or eta or scale below 0
 */
export const dpmSolverPlusPlus = defineSolver({
  name: "dpmSolverPlusPlus",
  source: "Lu et al. 2022b, algorithm 2 and section 6",
  order: 2,
  calls: 1,
  variants: {
    "order 3": { options: { order: 3 }, order: 3 },
    "eta 1": { options: { eta: 1 } },
  },
  table({ levels }: NoisePath, options: DpmSolverPlusPlusOptions) {
    const { order = 2, form = "midpoint", eta = 0, scale = 1, lowerOrderFinal = true } = options;
    checkOrder("dpmSolverPlusPlus", order, 3);
    checkNonNegative("dpmSolverPlusPlus", { eta, scale });
    expectWord("dpmSolverPlusPlus", "form", form, ["midpoint", "heun"]);
    return (place) => {
      const { index, from, to, remembered } = place;
      const data = ask("x", from);
      if (endsAtData(place)) return { rows: { data, next: along("x", "data", from, to) } };
      const estimates = newest("data", place, order);
      const keep = estimates.slice(0, order - 1);
      const count = orderAt(levels, index, { order, done: remembered, lowerOrderFinal });
      const nodes = places(levels, index, count, lambdaOf);
      const slope = count === 2 && form === "midpoint" ? "bh2" : "exact";
      const mean = exponentialStep("x", estimates.slice(0, count), { from, to, nodes, of: "data", slope, eta });
      if (eta === 0 || scale === 0) return { rows: { data, next: mean }, keep };
      const added = scale * to.noise * Math.sqrt(-Math.expm1(-2 * eta * (lambdaOf(to) - lambdaOf(from))));
      return { rows: { data, mean, noise: draw, next: sum({ mean: 1, noise: added }) }, keep };
    };
  },
});
