// The classical Runge–Kutta method on the probability-flow ODE.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./along.ts";
import { endsAtData, isEulerStep, liveLevel, stepLevels } from "./liveLevels.ts";

/**
 * RK4 for dy/d log σ = y − D(y; σ) in y = x / signal, the ODE of Karras et al. 2022, eq. 1, with log σ for its time: even levels of
 * `exponential` are even steps. Of order 4; four calls of the model a step. A last step to the data is x̂₀, and one in
 * which σ falls far DDIM's.
 */
export function rungeKutta(path: NoisePath): Sampler {
  expectArguments("rungeKutta", { path });
  const { levels, prior } = path;
  const [isLast, isEuler] = [endsAtData(levels), isEulerStep(levels)];
  return {
    levels,
    prior,
    form: (index) => `${isLast(index)} ${isEuler(index)}`,
    step({ x, index, live, predict }) {
      const [level, next] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, level), x, level);
      if (isLast(index)) return { x: denoised, denoised };
      if (isEuler(index)) return { x: along(x, denoised, level, next), denoised };
      const middle = liveLevel(() => path.at(Math.sqrt(sigmaOf(level) * sigmaOf(next))));
      /** y − D at a place. */
      const slope = (x: Tensor, at: NoiseLevel, denoised = path.denoise(predict(x, at), x, at)) =>
        weightedSum([x, denoised], () => [1 / at.signal, -1]);
      /** x at a level, where y has moved by shares of the step times slopes. */
      const moved = (slopes: readonly Tensor[], to: NoiseLevel, shares: readonly number[]) =>
        weightedSum([x, ...slopes], () => {
          const step = Math.log(sigmaOf(next) / sigmaOf(level));
          return [to.signal / level.signal, ...shares.map((share) => to.signal * step * share)];
        });
      const k1 = slope(x, level, denoised);
      const k2 = slope(moved([k1], middle, [1 / 2]), middle);
      const k3 = slope(moved([k2], middle, [1 / 2]), middle);
      const k4 = slope(moved([k3], next, [1]), next);
      return { x: moved([k1, k2, k3, k4], next, [1 / 6, 1 / 3, 1 / 3, 1 / 6]), denoised };
    },
  };
}
