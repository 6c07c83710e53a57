// DEIS: exponential integrators with polynomials of ε̂ in the path's own time, or in log σ.

import { lambdaOf, type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import { checkOrder } from "../table/checkOptions.ts";
import { exponentialStep } from "../table/exponential.ts";
import { endsAtData, fallsFar } from "../table/levels.ts";
import { newest, orderAt, places } from "../table/multistep.ts";
import { defineSolver } from "../table/solver.ts";
import { ask } from "../table/step.ts";
import { along, noiseIn, weighted } from "../table/terms.ts";
import { interpolatoryWeights } from "../table/weights.ts";

/** The order of DEIS, and the variable of its polynomials. */
export interface DeisOptions {
  /** How many estimates a step has, in [1, 4]: order 1 is DDIM. Default 3. */
  readonly order?: number;
  /** The variable of the polynomials: t (tAB-DEIS; default), or log σ, as in diffusers. Polynomials in σ make `lms`. */
  readonly over?: "time" | "log sigma";
  /** Whether the last steps are of order …, 2, 1. Default true. */
  readonly lowerOrderFinal?: boolean;
}

/**
 * x′/signal′ = x/signal + Σ_j w_j ε̂_j with w_j = ∫ of Lagrange's polynomials through the last `order` levels over dσ (Zhang & Chen
 * 2023, eq. 14 and 15). The first steps use the estimates that there are by then, the step to the data one.
 * Memory: earlier ε̂, the newest first.
 * @throws Error for another order
 */
export const deis = defineSolver({
  name: "deis",
  source: "Zhang & Chen 2023, eq. 14 and 15",
  order: 3,
  calls: 1,
  variants: {
    "order 2": { options: { order: 2 }, order: 2 },
    "over log sigma": { options: { over: "log sigma" } },
  },
  table(path: NoisePath, { order = 3, over = "time", lowerOrderFinal = true }: DeisOptions) {
    checkOrder("deis", order, 4);
    expectWord("deis", "over", over, ["time", "log sigma"]);
    const { levels } = path;
    return (place) => {
      const { index, from, to, remembered } = place;
      const data = ask("x", from);
      if (endsAtData(place)) return { rows: { data, next: along("x", "data", from, to) } };
      const found = { data, noise: noiseIn("x", "data", from) };
      const noises = newest("noise", place, order);
      const keep = noises.slice(0, order - 1);
      if (fallsFar(place)) return { rows: { ...found, next: along("x", "data", from, to) }, keep };
      const count = orderAt(levels, index, { order, done: remembered, lowerOrderFinal });
      const used = noises.slice(0, count);
      if (over === "log sigma") {
        const nodes = places(levels, index, count, lambdaOf);
        return { rows: { ...found, next: exponentialStep("x", used, { from, to, nodes, of: "noise" }) }, keep };
      }
      const nodes = places(levels, index, count, ({ t }) => t);
      const weights = interpolatoryWeights(nodes, timeMoments(path, from, to, count)).map((w) => to.signal * w);
      return { rows: { ...found, next: weighted(["x", ...used], [to.signal / from.signal, ...weights]) }, keep };
    };
  },
});

/** The number of panels per step. Each panel is exact for polynomials of degree 5; paths are smooth or nearly so. */
const PANELS = 32;

/** The points and weights of Gauss and Legendre on [0, 1]. */
const GAUSS = [
  [0.5 - Math.sqrt(0.15), 5 / 18],
  [0.5, 8 / 18],
  [0.5 + Math.sqrt(0.15), 5 / 18],
] as const;

/** ∫ s^k dσ over a step, where s is the time in units of it: 0 at `from`, 1 at `to`. */
function timeMoments(path: NoisePath, from: NoiseLevel, to: NoiseLevel, count: number): number[] {
  const [start, end] = [from, to].map((level) => Math.log(sigmaOf(level)));
  const moments = new Array<number>(count).fill(0);
  for (let panel = 0; panel < PANELS; panel++) {
    for (const [place, weight] of GAUSS) {
      const sigma = Math.exp(start + ((end - start) * (panel + place)) / PANELS);
      const share = (path.at(sigma).t - from.t) / (to.t - from.t);
      const width = (weight * (end - start) * sigma) / PANELS; // dσ = σ d log σ
      for (let k = 0; k < count; k++) moments[k] += width * share ** k;
    }
  }
  moments[0] = sigmaOf(to) - sigmaOf(from);
  return moments;
}
