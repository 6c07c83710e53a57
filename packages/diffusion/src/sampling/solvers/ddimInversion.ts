// DDIM inversion: the probability-flow ODE from data to the noise that leads there.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { alongNoise, noiseIn } from "./along.ts";
import { stepLevels } from "./liveLevels.ts";

/**
 * From data to noise: x′ = signal′ x̂₀ + noise′ ε̂ (Song et al. 2021, section 4.3; Dhariwal & Nichol 2021, appendix F). ε̂ is the
 * model's at the level the step leads to, read there, since at the data there is none to ask for: first from x as it stands, then,
 * with more iterations, from the x′ of the one before. Their fixed point is what `euler` (DDIM) on the path takes back to x exactly.
 * Give the data as `from`.
 * @param path the way of the samples; it is gone backwards
 * @param options iterations: calls of the model a step, by default 1
 * @throws Error unless iterations is a positive integer
 */
export function ddimInversion(path: NoisePath, options: { readonly iterations?: number } = {}): Sampler {
  expectArguments("ddimInversion", { path, options });
  const { iterations = 1 } = options;
  if (!(Number.isInteger(iterations) && iterations >= 1))
    throw new Error(`ddimInversion: iterations is ${iterations}, want a positive integer`);
  const levels: readonly NoiseLevel[] = path.levels.toReversed();
  return {
    levels,
    prior: 0,
    form: () => "inversion",
    step({ x, live, predict }) {
      const [level, next] = stepLevels(levels, live);
      let guess = x;
      let denoised = x;
      for (let k = 0; k < iterations; k++) {
        const data = path.denoise(predict(guess, next), guess, next);
        const noise = noiseIn(guess, data, next);
        guess = alongNoise(x, [noise], level, next);
        denoised = weightedSum([x, noise], () => [1 / level.signal, -level.noise / level.signal]);
      }
      return { x: guess, denoised };
    },
  };
}
