// Euler's method with ancestral noise.

import type { NoisePath } from "../../forward/path.ts";
import { type AncestralNoise, ancestralSplit, checkAncestral } from "../table/ancestralNoise.ts";
import { defineSolver } from "../table/solver.ts";
import { ask } from "../table/step.ts";
import { along } from "../table/terms.ts";

/**
 * A step of Euler's method to σ_down, then noise of σ_up = η σ′ √(1 − σ′²/σ²) (k-diffusion's `euler_ancestral`; in the variance-
 * preserving scale it is DDIM with the same η: Song et al. 2021, eq. 16).
 * @throws Error when eta is not in [0, 1], or scale is below 0
 */
export const eulerAncestral = defineSolver({
  name: "eulerAncestral",
  source: "k-diffusion, sample_euler_ancestral",
  order: 1,
  calls: 1,
  table(_: NoisePath, noise: AncestralNoise) {
    checkAncestral("eulerAncestral", noise);
    return (place) => {
      const { down, renoised } = ancestralSplit(place, noise);
      const lowered = along("x", "data", place.from, down);
      return { rows: { data: ask("x", place.from), lowered, ...renoised("lowered") } };
    };
  },
});
