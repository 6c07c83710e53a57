// The reverse diffusion sampler: the steps of the forward chain, reversed.

import type { NoisePath } from "../../forward/path.ts";
import { endsAtData } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, sum } from "../table/step.ts";

/**
 * x′ = (2 − r) x + G² s + G z, where the forward step between the levels is x = r x′ + G z (Song et al. 2021, eq. 46): G² is
 * σ² − σ′² on σ-levels and β of a schedule's neighbours. Of weak order 1. A last step to the data is x̂₀.
 */
export const reverseDiffusion = defineSolver({
  name: "reverseDiffusion",
  source: "Song et al. 2021, eq. 46",
  order: 1,
  calls: 1,
  table: (_: NoisePath) => (place) => {
    const { from, to } = place;
    if (endsAtData(place)) return { rows: { data: ask("x", from), next: "data" } };
    const ratio = from.signal / to.signal;
    const variance = from.noise ** 2 - (ratio * to.noise) ** 2;
    return {
      rows: {
        data: ask("x", from, "score"),
        noise: draw,
        next: sum({ x: 2 - ratio, "data.score": variance, noise: Math.sqrt(variance) }),
      },
    };
  },
});
