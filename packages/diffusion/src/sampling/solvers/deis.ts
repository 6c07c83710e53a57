// DEIS: exponential integrators with polynomials of ε̂ in the path's own time, or in log σ.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { lambdaOf, type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import type { Sampler } from "../sampler.ts";
import { along, noiseIn } from "./along.ts";
import { checkOrder } from "./checkOptions.ts";
import { exponentialStep } from "./exponential.ts";
import { endsAtData, fallsFar, stepLevels } from "./liveLevels.ts";
import { newest, orderAt, places } from "./multistep.ts";
import { interpolatoryWeights } from "./weights.ts";

export interface DeisOptions {
  /** How many estimates a step has, in [1, 4]: order 1 is DDIM. Default 3. */
  readonly order?: number;
  /** What the polynomials are in: t (tAB-DEIS; default), or log σ, as diffusers has it. In σ they make `lms`. */
  readonly over?: "time" | "log sigma";
  /** Whether the last steps are of order …, 2, 1. Default true. */
  readonly lowerOrderFinal?: boolean;
}

/**
 * x′/signal′ = x/signal + Σ_j w_j ε̂_j with w_j = ∫ of Lagrange's polynomials through the last `order` levels over dσ (Zhang & Chen
 * 2023, eq. 14 and 15). The first steps have as many estimates as there were steps; the one to the data has one.
 * Memory: earlier ε̂, the newest first.
 * @throws Error for another order
 */
export function deis(path: NoisePath, options: DeisOptions = {}): Sampler {
  expectArguments("deis", { path, options });
  const { order = 3, over = "time", lowerOrderFinal = true } = options;
  checkOrder("deis", order, 4);
  const { levels, prior } = path;
  const [isLast, isFar] = [endsAtData(levels), fallsFar(levels)];
  const orderOf = (index: number, done: number) => orderAt(levels, index, { order, done, lowerOrderFinal });
  expectWord("deis", "over", over, ["time", "log sigma"]);
  return {
    levels,
    prior,
    form: (index, done) => (isLast(index) ? "last" : `${isFar(index)} ${orderOf(index, done)}`),
    step({ x, index, live, memory, predict }) {
      const [level, next] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, level), x, level);
      if (isLast(index)) return { x: along(x, denoised, level, next), denoised };
      const noises = newest(noiseIn(x, denoised, level), memory, order);
      const count = orderOf(index, memory.length);
      const used = noises.slice(0, count);
      const left = noises.slice(0, order - 1);
      if (isFar(index)) return { x: along(x, denoised, level, next), denoised, memory: left };
      if (over === "log sigma") {
        const nodes = () => places(levels, live.index, count, lambdaOf);
        return { x: exponentialStep(x, used, { from: level, to: next, nodes, of: "noise" }), denoised, memory: left };
      }
      const weights = () => {
        const nodes = places(levels, live.index, count, ({ t }) => t);
        const integrated = interpolatoryWeights(nodes, timeMoments(path, level, next, count));
        return [next.signal / level.signal, ...integrated.map((weight) => next.signal * weight)];
      };
      return { x: weightedSum([x, ...used], weights), denoised, memory: left };
    },
  };
}

/** How finely a step is divided: each panel is exact for polynomials of degree 5, and paths are smooth or nearly so. */
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
