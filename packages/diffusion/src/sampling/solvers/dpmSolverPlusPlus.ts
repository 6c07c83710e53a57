// DPM-Solver++ as a multistep method, and SDE-DPM-Solver++: one call of the model a step.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { lambdaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./along.ts";
import { checkNonNegative, checkOrder } from "./checkOptions.ts";
import { exponentialStep } from "./exponential.ts";
import { endsAtData, stepLevels } from "./liveLevels.ts";
import { newest, orderAt, places } from "./multistep.ts";

export interface DpmSolverPlusPlusOptions {
  /** How many estimates a step has, in [1, 3]: order 1 is DDIM. Default 2. */
  readonly order?: number;
  /** The form of steps with two estimates: "midpoint" (the paper's 2M; default) or "heun", exact for x̂₀ linear in λ. */
  readonly form?: "midpoint" | "heun";
  /** 0 for the ODE (default), 1 for the reverse SDE (SDE-DPM-Solver++), between them or beyond for less or more new noise. */
  readonly eta?: number;
  /** The standard deviation of the new noise. Default 1; other values leave the marginals. */
  readonly scale?: number;
  /** Whether the last steps are of order …, 2, 1, which few steps need to be stable. Default true. */
  readonly lowerOrderFinal?: boolean;
}

/**
 * With h = λ′ − λ: x′ = noise′/noise e^{−ηh} x + signal′ Σ_j w_j x̂₀_j + noise′ √(1 − e^{−2ηh}) z, where w integrates e^{−(1+η)(λ′−λ)}
 * times the polynomial in λ through the last `order` estimates (Lu et al. 2022b, algorithm 2, and section 6 for the SDE). The first
 * steps have as many estimates as there were steps; the one to the data, where λ is infinite, has one: x′ = x̂₀.
 * Memory: earlier x̂₀, the newest first.
 * @throws Error for another order, or eta or scale below 0
 */
export function dpmSolverPlusPlus(path: NoisePath, options: DpmSolverPlusPlusOptions = {}): Sampler {
  expectArguments("dpmSolverPlusPlus", { path, options });
  const { order = 2, form = "midpoint", eta = 0, scale = 1, lowerOrderFinal = true } = options;
  checkOrder("dpmSolverPlusPlus", order, 3);
  checkNonNegative("dpmSolverPlusPlus", { eta, scale });
  const { levels, prior } = path;
  const isLast = endsAtData(levels);
  const orderOf = (index: number, done: number) => orderAt(levels, index, { order, done, lowerOrderFinal });
  expectWord("dpmSolverPlusPlus", "form", form, ["midpoint", "heun"]);
  return {
    levels,
    prior,
    form: (index, done) => (isLast(index) ? "last" : orderOf(index, done)),
    step({ x, index, live, memory, predict, rng }) {
      const [from, to] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, from), x, from);
      if (isLast(index)) return { x: along(x, denoised, from, to), denoised };
      const estimates = newest(denoised, memory, order);
      const count = orderOf(index, memory.length);
      const nodes = () => places(levels, live.index, count, lambdaOf);
      const slope = count === 2 && form === "midpoint" ? "bh2" : "exact";
      const mean = exponentialStep(x, estimates.slice(0, count), { from, to, nodes, of: "data", slope, eta });
      const left = estimates.slice(0, order - 1);
      if (eta === 0 || scale === 0) return { x: mean, denoised, memory: left };
      const noise = rng.normal(x.shape, { backend: x.backend });
      const added = () => scale * to.noise * Math.sqrt(-Math.expm1(-2 * eta * (lambdaOf(to) - lambdaOf(from))));
      return { x: weightedSum([mean, noise], () => [1, added()]), denoised, memory: left };
    },
  };
}
