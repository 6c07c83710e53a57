// The classical Runge–Kutta method on the probability-flow ODE.

import type { Tensor } from "@pkg/tensor";
import { type NoiseLevel, sigmaOf } from "../level.ts";
import type { NoisePath } from "../path.ts";
import type { Sampler } from "../sampler.ts";

/**
 * RK4 for dy/d log σ = y − D(y; σ) in y = x / signal, the ODE of Karras et al. 2022, eq. 1, with log σ for its time: even levels of
 * `exponential` are even steps. Of order 4; four calls of the model a step. A last step to the data is x̂₀.
 */
export function rungeKutta(path: NoisePath): Sampler {
  const { levels, prior } = path;
  return {
    levels,
    prior,
    step({ x, index, predict }) {
      const [level, next] = levels.slice(index);
      const denoise = (y: Tensor, at: NoiseLevel) => {
        const scaled = y.mul(at.signal);
        return path.denoise(predict(scaled, at.t), scaled, at);
      };
      const denoised = path.denoise(predict(x, level.t), x, level);
      if (next.noise === 0) return { x: denoised, denoised };
      const y = x.mul(1 / level.signal);
      const step = Math.log(sigmaOf(next) / sigmaOf(level));
      const slope = (at: Tensor, where: NoiseLevel) => at.sub(denoise(at, where));
      const middle = path.at(sigmaOf(level) * Math.exp(step / 2));
      const k1 = y.sub(denoised);
      const k2 = slope(y.add(k1.mul(step / 2)), middle);
      const k3 = slope(y.add(k2.mul(step / 2)), middle);
      const k4 = slope(y.add(k3.mul(step)), next);
      const mean = k1
        .add(k4)
        .mul(1 / 6)
        .add(k2.add(k3).mul(1 / 3));
      return { x: y.add(mean.mul(step)).mul(next.signal), denoised };
    },
  };
}
