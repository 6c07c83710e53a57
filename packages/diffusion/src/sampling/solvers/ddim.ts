// DDIM: ancestral sampling with fewer steps, and without noise unless asked for.

import { scheduledLevels } from "../../forward/discretePath.ts";
import type { NoisePath } from "../../forward/path.ts";
import { checkEta } from "../table/ancestralNoise.ts";
import { endsAtData } from "../table/levels.ts";
import { posteriorVariance } from "../table/posteriorVariance.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, sum } from "../table/step.ts";
import { noiseIn } from "../table/terms.ts";

/** The noise of DDIM's steps, and how it follows a clip. */
export interface DdimOptions {
  /** 0 is deterministic, 1 as noisy as ancestral sampling. In [0, 1], by default 0. */
  readonly eta?: number;
  /**
   * Whether ε̂ is computed from the clipped x̂₀, so that both still make up x_t (guided-diffusion; `use_clipped_model_output` of
   * diffusers, off there). Default true. With false ε̂ is the model's, which is wrong under strong guidance. Without a clip both agree.
   */
  readonly rederiveNoise?: boolean;
}

/**
 * x_next = √ᾱ_next x̂₀ + √(1 − ᾱ_next − σ²) ε̂ + σ z with σ = η √β̃ (Song et al. 2021, eq. 12 and 16).
 * @throws Error when eta is not in [0, 1]
 */
export const ddim = defineSolver({
  name: "ddim",
  source: "Song, Meng & Ermon 2021, eq. 12 and 16",
  order: 1,
  calls: 1,
  variants: { "eta 1": { options: { eta: 1 } } },
  levels: scheduledLevels,
  table(path: NoisePath, { eta = 0, rederiveNoise = true }: DdimOptions) {
    checkEta("ddim", eta);
    const isRederived = rederiveNoise && path.isClipped === true;
    return (place) => {
      const { from, to } = place;
      const found = isRederived
        ? { data: ask("x", from), derived: noiseIn("x", "data", from) }
        : { data: ask("x", from, "noise") };
      const noise = isRederived ? "derived" : "data.noise";
      const isNoisy = eta > 0 && !endsAtData(place);
      const variance = isNoisy ? eta ** 2 * posteriorVariance(path, from, to) : 0;
      // Rounding may make −1e-17 of 0.
      const mean = { data: to.signal, [noise]: Math.sqrt(Math.max(0, to.noise ** 2 - variance)) };
      if (!isNoisy) return { rows: { ...found, next: sum(mean) } };
      return { rows: { ...found, added: draw, next: sum({ ...mean, added: Math.sqrt(variance) }) } };
    };
  },
});
