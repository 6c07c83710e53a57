// LMS: the Adams–Bashforth method in σ, with steps of any lengths.

import { sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { checkOrder } from "../table/checkOptions.ts";
import { fallsFar } from "../table/levels.ts";
import { newest, places } from "../table/multistep.ts";
import { defineSolver } from "../table/solver.ts";
import { ask } from "../table/step.ts";
import { along, noiseIn, weighted } from "../table/terms.ts";
import { evenMoments, interpolatoryWeights } from "../table/weights.ts";

/** Options of `lms`. */
export interface LmsOptions {
  /** How many estimates a step has, in [1, 4]. Default 4. */
  readonly order?: number;
}

/**
 * The linear multistep method of k-diffusion: x′/signal′ = x/signal + Σ_j w_j ε̂_j with w_j = ∫_σ^σ′ of Lagrange's polynomials
 * through the last `order` levels, integrated in closed form. The first steps use the estimates that there are by then. It is
 * DEIS with polynomials in σ (ρAB-DEIS, Zhang & Chen 2023).
 * Memory: earlier ε̂, the newest first.
 * @throws Error for another order
 */
export const lms = defineSolver({
  name: "lms",
  source: "k-diffusion, sample_lms",
  order: 4,
  calls: 1,
  variants: { "order 2": { options: { order: 2 }, order: 2 } },
  table({ levels }: NoisePath, { order = 4 }: LmsOptions) {
    checkOrder("lms", order, 4);
    return (place) => {
      const { index, from, to } = place;
      const noises = newest("noise", place, order);
      const found = { data: ask("x", from), noise: noiseIn("x", "data", from) };
      const keep = noises.slice(0, order - 1);
      if (fallsFar(place)) return { rows: { ...found, next: along("x", "data", from, to) }, keep };
      const nodes = places(levels, index, noises.length, sigmaOf);
      const size = to.signal * (sigmaOf(to) - sigmaOf(from));
      const shares = interpolatoryWeights(nodes, evenMoments(noises.length)).map((share) => size * share);
      return { rows: { ...found, next: weighted(["x", ...noises], [to.signal / from.signal, ...shares]) }, keep };
    };
  },
});
