// Euler's method with ancestral noise.

import { expectArguments } from "../../arguments.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { along } from "./along.ts";
import { type AncestralNoise, ancestralSplit, checkAncestral } from "./ancestralNoise.ts";
import { endsAtData, stepLevels } from "./liveLevels.ts";

/**
 * A step of Euler's method to σ_down, then noise of σ_up = η σ′ √(1 − σ′²/σ²) (k-diffusion's `euler_ancestral`; in the variance-
 * preserving scale it is DDIM with the same η: Song et al. 2021, eq. 16).
 * @throws Error when eta is not in [0, 1], or scale is below 0
 */
export function eulerAncestral(path: NoisePath, noise: AncestralNoise = {}): Sampler {
  expectArguments("eulerAncestral", { path });
  checkAncestral("eulerAncestral", noise);
  const { levels, prior } = path;
  const isLast = endsAtData(levels);
  return {
    levels,
    prior,
    form: isLast,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, level), x, level);
      const { down, renoise } = ancestralSplit(level, next, isLast(index), noise);
      return { x: renoise(along(x, denoised, level, down), rng), denoised };
    },
  };
}
