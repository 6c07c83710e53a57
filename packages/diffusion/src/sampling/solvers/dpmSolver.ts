// DPM-Solver and DPM-Solver++ as singlestep methods: intermediate levels within each step, nothing remembered between steps.

import { lambdaOf, type NoiseLevel } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import { checkOrder } from "../table/checkOptions.ts";
import { exponentialStep, type Integrand } from "../table/exponential.ts";
import { isEulerStep } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, type Row } from "../table/step.ts";
import { along, noiseIn } from "../table/terms.ts";

/** The order of DPM-Solver, and the quantity that it extrapolates. */
export interface DpmSolverOptions {
  /** The order, which is also the number of calls of the model per step, in [1, 3]. Default 3. */
  readonly order?: number;
  /** The polynomial in λ is one of ε̂ (DPM-Solver; default), or of x̂₀ (DPM-Solver++, which stays stable under guidance). */
  readonly of?: Integrand;
}

/**
 * DPM-Solver-1, 2 and 3 (Lu et al. 2022, algorithms 1 and 2 with r₁ = 1/2, and r₁ = 1/3, r₂ = 2/3), or DPM-Solver++ 1S, 2S and 3S
 * (Lu et al. 2022b, algorithm 1). Order 1 is DDIM; so are the step to the data, where λ is infinite, and one
 * in which σ falls far.
 * @throws Error for another order
 */
export const dpmSolver = defineSolver({
  name: "dpmSolver",
  source: "Lu et al. 2022, algorithms 1 and 2; Lu et al. 2022b, algorithm 1",
  order: 3,
  calls: 3,
  variants: {
    "order 2": { options: { order: 2 }, order: 2, calls: 2 },
    "of data": { options: { of: "data" } },
    "of data, order 2": { options: { of: "data", order: 2 }, order: 2, calls: 2 },
  },
  table(path: NoisePath, { order = 3, of = "noise" }: DpmSolverOptions) {
    checkOrder("dpmSolver", order, 3);
    expectWord("dpmSolver", "of", of, ["noise", "data"]);
    return (place) => {
      const { from, to } = place;
      const data = ask("x", from);
      if (order === 1 || isEulerStep(place)) return { rows: { data, next: along("x", "data", from, to) } };
      /** The estimate beside x̂₀ of a quantity, under a name of its own: x̂₀ itself, or its ε̂. */
      const estimate = (name: string, x: string, data: string, at: NoiseLevel): Readonly<Record<string, Row>> => ({
        [name]: of === "data" ? data : noiseIn(x, data, at),
      });
      const between = (share: number) => path.at(Math.exp(-lambdaOf(from) - share * (lambdaOf(to) - lambdaOf(from))));
      const inner = between(1 / order);
      const second = {
        data,
        ...estimate("first", "x", "data", from),
        x2: along("x", "data", from, inner),
        data2: ask("x2", inner),
        ...estimate("second", "x2", "data2", inner),
      };
      const reached = (estimate: string, to: NoiseLevel, nodes: readonly number[], slope?: "bh2") =>
        exponentialStep("x", ["first", estimate], { from, to, of, nodes, slope });
      if (order === 2) return { rows: { ...second, next: reached("second", to, [0, 1 / 2], "bh2") } };
      const outer = between(2 / 3);
      return {
        rows: {
          ...second,
          x3: reached("second", outer, [0, 1 / 2]),
          data3: ask("x3", outer),
          ...estimate("third", "x3", "data3", outer),
          next: reached("third", to, [0, 2 / 3]),
        },
      };
    };
  },
});
