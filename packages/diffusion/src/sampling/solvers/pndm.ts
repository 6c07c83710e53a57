// PNDM: pseudo linear multistep steps after a start with Runge and Kutta's, or with Heun's.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { Sampler } from "../sampler.ts";
import { along, alongNoise, noiseIn } from "./along.ts";
import { endsAtData, fallsFar, liveLevel, stepLevels } from "./liveLevels.ts";
import { newest } from "./multistep.ts";
import { evenMoments, interpolatoryWeights } from "./weights.ts";

export interface PndmOptions {
  /**
   * How the first steps are done: three of Runge and Kutta's with four calls of the model each (Liu et al. 2022), or one of Heun's
   * and then as many estimates as there are (PLMS of latent diffusion; diffusers' `skip_prk_steps`). Default "runge-kutta".
   */
  readonly start?: "runge-kutta" | "heun";
}

/**
 * F-PNDM (Liu et al. 2022, eq. 9 to 13): ε̂ of classical methods for even steps, here 55/24 ε̂_t − 59/24 ε̂ + 37/24 ε̂ − 9/24 ε̂, moved
 * along as DDIM does; steps in which σ falls far are DDIM's own. Of order 2 (of order 4 where the levels are even in σ).
 * Memory: the ε̂ of earlier steps, the newest first.
 */
export function pndm(path: NoisePath, options: PndmOptions = {}): Sampler {
  expectArguments("pndm", { path, options });
  const { start = "runge-kutta" } = options;
  const { levels, prior } = path;
  const [isLast, isFar] = [endsAtData(levels), fallsFar(levels)];
  expectWord("pndm", "start", start, ["runge-kutta", "heun"]);
  return {
    levels,
    prior,
    form: (index) => `${isLast(index)} ${isFar(index)}`,
    step({ x, index, live, memory, predict }) {
      const [level, next] = stepLevels(levels, live);
      const read = (x: Tensor, at: NoiseLevel) => {
        const denoised = path.denoise(predict(x, at), x, at);
        return { denoised, noise: noiseIn(x, denoised, at) };
      };
      const { denoised, noise: first } = read(x, level);
      const noises = newest(first, memory, 4);
      const moved = (x: Tensor) => ({ x, denoised, memory: noises.slice(0, 3) });
      if (isFar(index)) return moved(along(x, denoised, level, next));
      const result = (of: readonly Tensor[], shares: readonly number[]) =>
        moved(alongNoise(x, of, level, next, shares));
      if (noises.length === 4 || (start === "heun" && noises.length > 1)) {
        const nodes = noises.map((_, k) => -k);
        return result(noises, interpolatoryWeights(nodes, evenMoments(noises.length)));
      }
      if (isLast(index)) return result([first], [1]);
      if (start === "heun") return result([first, read(alongNoise(x, [first], level, next), next).noise], [0.5, 0.5]);
      const middle = liveLevel(() => inTheMiddle(path, level, next));
      const second = read(alongNoise(x, [first], level, middle), middle).noise;
      const third = read(alongNoise(x, [second], level, middle), middle).noise;
      const fourth = read(alongNoise(x, [third], level, next), next).noise;
      return result([first, second, third, fourth], [1 / 6, 1 / 3, 1 / 3, 1 / 6]);
    },
  };
}

/** The level whose t is half way between those of two levels, found by halving the interval of log σ. */
function inTheMiddle(path: NoisePath, from: NoiseLevel, to: NoiseLevel): NoiseLevel {
  const t = (from.t + to.t) / 2;
  let [low, high] = [to, from].map((level) => Math.log(sigmaOf(level)));
  const rises = from.t > to.t;
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (path.at(Math.exp(middle)).t > t === rises) high = middle;
    else low = middle;
  }
  return { ...path.at(Math.exp((low + high) / 2)), t };
}
