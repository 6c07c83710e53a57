// DPM-Solver and DPM-Solver++ as singlestep methods: intermediate levels within each step, nothing remembered between steps.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { lambdaOf, type NoiseLevel } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { Sampler } from "../sampler.ts";
import { along, noiseIn } from "./along.ts";
import { checkOrder } from "./checkOptions.ts";
import { exponentialStep, type Integrand } from "./exponential.ts";
import { isEulerStep, liveLevel, stepLevels } from "./liveLevels.ts";

export interface DpmSolverOptions {
  /** As many calls of the model a step, in [1, 3]. Default 3. */
  readonly order?: number;
  /** What is taken to be a polynomial in λ: ε̂ (DPM-Solver; default), or x̂₀ (DPM-Solver++, which stays stable under guidance). */
  readonly of?: Integrand;
}

/**
 * DPM-Solver-1, 2 and 3 (Lu et al. 2022, algorithms 1 and 2 with r₁ = 1/2, and r₁ = 1/3, r₂ = 2/3), or DPM-Solver++ 1S, 2S and 3S
 * (Lu et al. 2022b, algorithm 1). Order 1 is DDIM; so are the step to the data, where λ is infinite, and one
 * in which σ falls far.
 * @throws Error for another order
 */
export function dpmSolver(path: NoisePath, options: DpmSolverOptions = {}): Sampler {
  expectArguments("dpmSolver", { path, options });
  const { order = 3, of = "noise" } = options;
  checkOrder("dpmSolver", order, 3);
  const { levels, prior } = path;
  const isEuler = isEulerStep(levels);
  expectWord("dpmSolver", "of", of, ["noise", "data"]);
  return {
    levels,
    prior,
    form: isEuler,
    step({ x, index, live, predict }) {
      const [from, next] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, from), x, from);
      if (order === 1 || isEuler(index)) return { x: along(x, denoised, from, next), denoised };
      const estimate = (data: Tensor, x: Tensor, level: NoiseLevel) => (of === "data" ? data : noiseIn(x, data, level));
      const at = (x: Tensor, level: NoiseLevel) => estimate(path.denoise(predict(x, level), x, level), x, level);
      const between = (share: number) =>
        liveLevel(() => path.at(Math.exp(-lambdaOf(from) - share * (lambdaOf(next) - lambdaOf(from)))));

      const first = estimate(denoised, x, from);
      const inner = between(1 / order);
      const second = at(along(x, denoised, from, inner), inner);
      if (order === 2) {
        const step = { from, to: next, of, nodes: () => [0, 1 / 2], slope: "bh2" } as const;
        return { x: exponentialStep(x, [first, second], step), denoised };
      }
      const outer = between(2 / 3);
      const third = at(exponentialStep(x, [first, second], { from, to: outer, of, nodes: () => [0, 1 / 2] }), outer);
      return { x: exponentialStep(x, [first, third], { from, to: next, of, nodes: () => [0, 2 / 3] }), denoised };
    },
  };
}
