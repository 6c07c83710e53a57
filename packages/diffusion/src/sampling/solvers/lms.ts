// LMS: the Adams–Bashforth method in σ, with steps of any lengths.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { along, noiseIn } from "./along.ts";
import { checkOrder } from "./checkOptions.ts";
import { fallsFar, stepLevels } from "./liveLevels.ts";
import { newest, places } from "./multistep.ts";
import { evenMoments, interpolatoryWeights } from "./weights.ts";

/**
 * The linear multistep method of k-diffusion: x′/signal′ = x/signal + Σ_j w_j ε̂_j with w_j = ∫_σ^σ′ of Lagrange's polynomials
 * through the last `order` levels, integrated in closed form. The first steps have as many estimates as there were steps. It is
 * DEIS with polynomials in σ (ρAB-DEIS, Zhang & Chen 2023).
 * Memory: earlier ε̂, the newest first.
 * @param options order: in [1, 4], by default 4
 * @throws Error for another order
 */
export function lms(path: NoisePath, options: { readonly order?: number } = {}): Sampler {
  expectArguments("lms", { path, options });
  const { order = 4 } = options;
  checkOrder("lms", order, 4);
  const { levels, prior } = path;
  const isFar = fallsFar(levels);
  return {
    levels,
    prior,
    form: isFar,
    step({ x, index, live, memory, predict }) {
      const [level, next] = stepLevels(levels, live);
      const denoised = path.denoise(predict(x, level), x, level);
      const noises = newest(noiseIn(x, denoised, level), memory, order);
      const left = noises.slice(0, order - 1);
      if (isFar(index)) return { x: along(x, denoised, level, next), denoised, memory: left };
      const weights = () => {
        const nodes = places(levels, live.index, noises.length, sigmaOf);
        const size = next.signal * (sigmaOf(next) - sigmaOf(level));
        const shares = interpolatoryWeights(nodes, evenMoments(noises.length));
        return [next.signal / level.signal, ...shares.map((share) => size * share)];
      };
      return { x: weightedSum([x, ...noises], weights), denoised, memory: left };
    },
  };
}
