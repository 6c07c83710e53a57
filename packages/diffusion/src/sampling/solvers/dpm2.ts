// DPM2: the midpoint rule in log σ, by itself and with ancestral noise.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { type AncestralNoise, ancestralSplit, checkAncestral } from "../table/ancestralNoise.ts";
import { type Churn, churner } from "../table/churn.ts";
import { isEulerStep } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, type Row } from "../table/step.ts";
import { along, alongNoise, noiseIn } from "../table/terms.ts";

/**
 * The midpoint rule on the probability-flow ODE: ε̂ at √(σ σ′) for the whole step, Euler's method where σ′ is 0 or σ falls far
 * (k-diffusion's `dpm_2`, after Karras et al. 2022, algorithm 2). Without churn it is DPM-Solver-2 (Lu et al. 2022, algorithm 1). Of
 * order 2; two calls of the model per step.
 * @throws Error for churn, scale or bounds below 0
 */
export const dpm2 = defineSolver({
  name: "dpm2",
  source: "k-diffusion, sample_dpm_2",
  order: 2,
  calls: 2,
  table(path: NoisePath, options: Churn) {
    const begin = churner("dpm2", path, options);
    return (place) => {
      const { rows, x, level } = begin(place.from);
      return { rows: { ...rows, ...midpoint(path, x, [level, place.to], isEulerStep(place)), next: "moved" } };
    };
  },
});

/**
 * The midpoint rule to σ_down, then noise of σ_up = η σ′ √(1 − σ′²/σ²) (k-diffusion's `dpm_2_ancestral`).
 * @throws Error when eta is not in [0, 1], or scale is below 0
 */
export const dpm2Ancestral = defineSolver({
  name: "dpm2Ancestral",
  source: "k-diffusion, sample_dpm_2_ancestral",
  order: 2,
  calls: 2,
  table(path: NoisePath, noise: AncestralNoise) {
    checkAncestral("dpm2Ancestral", noise);
    return (place) => {
      const { down, renoised } = ancestralSplit(place, noise);
      return { rows: { ...midpoint(path, "x", [place.from, down], isEulerStep(place)), ...renoised("moved") } };
    };
  },
});

function midpoint(
  path: NoisePath,
  x: string,
  [from, to]: readonly [NoiseLevel, NoiseLevel],
  isEuler: boolean,
): { readonly data: Row; readonly moved: Row } {
  const data = ask(x, from);
  if (isEuler) return { data, moved: along(x, "data", from, to) };
  const middle = path.at(Math.sqrt(sigmaOf(from) * sigmaOf(to)));
  const inner = {
    halfway: along(x, "data", from, middle),
    there: ask("halfway", middle),
    noiseThere: noiseIn("halfway", "there", middle),
  };
  return { data, ...inner, moved: alongNoise(x, ["noiseThere"], from, to) };
}
