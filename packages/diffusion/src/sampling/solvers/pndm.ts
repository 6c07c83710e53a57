// PNDM: pseudo linear multistep steps after a start by Runge and Kutta's method, or by Heun's.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { expectWord } from "../../optionWords.ts";
import { endsAtData, fallsFar } from "../table/levels.ts";
import { newest } from "../table/multistep.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, type Row } from "../table/step.ts";
import { along, alongNoise, noiseIn } from "../table/terms.ts";
import { evenMoments, interpolatoryWeights } from "../table/weights.ts";

/** How PNDM starts. */
export interface PndmOptions {
  /**
   * The first steps: three of Runge and Kutta's with four calls of the model each (Liu et al. 2022), or one of Heun's
   * and then as many estimates as there are (PLMS of latent diffusion; diffusers' `skip_prk_steps`). Default "runge-kutta".
   */
  readonly start?: "runge-kutta" | "heun";
}

/**
 * F-PNDM (Liu et al. 2022, eq. 9 to 13): ε̂ of classical methods for even steps, here 55/24 ε̂_t − 59/24 ε̂ + 37/24 ε̂ − 9/24 ε̂, moved
 * along as DDIM does; steps in which σ falls far are DDIM's own. Of order 2 (of order 4 where the levels are even in σ).
 * Memory: the ε̂ of earlier steps, the newest first.
 */
export const pndm = defineSolver({
  name: "pndm",
  source: "Liu et al. 2022, eq. 9 to 13",
  order: 2,
  calls: 1,
  variants: { "Heun's start": { options: { start: "heun" } } },
  table(path: NoisePath, { start = "runge-kutta" }: PndmOptions) {
    expectWord("pndm", "start", start, ["runge-kutta", "heun"]);
    return (place) => {
      const { from, to } = place;
      const found = { data: ask("x", from), noise: noiseIn("x", "data", from) };
      const noises = newest("noise", place, 4);
      const keep = noises.slice(0, 3);
      const moved = (of: readonly string[], shares: readonly number[]) => alongNoise("x", of, from, to, shares);
      if (fallsFar(place)) return { rows: { ...found, next: along("x", "data", from, to) }, keep };
      if (noises.length === 4 || (start === "heun" && noises.length > 1)) {
        const nodes = noises.map((_, k) => -k);
        const shares = interpolatoryWeights(nodes, evenMoments(noises.length));
        return { rows: { ...found, next: moved(noises, shares) }, keep };
      }
      if (endsAtData(place)) return { rows: { ...found, next: moved(["noise"], [1]) }, keep };
      const stages = start === "heun" ? heunStages(from, to) : rungeKuttaStages(path, from, to);
      const shares = start === "heun" ? [1 / 2, 1 / 2] : [1 / 6, 1 / 3, 1 / 3, 1 / 6];
      const ofStages = ["noise", "noise2", "noise3", "noise4"].slice(0, shares.length);
      return { rows: { ...found, ...stages, next: moved(ofStages, shares) }, keep };
    };
  },
});

type Stages = Readonly<Record<string, Row>>;

/** Another ε̂, of x moved along an earlier one. */
function stage(k: number, noise: string, from: NoiseLevel, to: NoiseLevel): Stages {
  return {
    [`x${k}`]: alongNoise("x", [noise], from, to),
    [`data${k}`]: ask(`x${k}`, to),
    [`noise${k}`]: noiseIn(`x${k}`, `data${k}`, to),
  };
}

function heunStages(from: NoiseLevel, to: NoiseLevel): Stages {
  return stage(2, "noise", from, to);
}

function rungeKuttaStages(path: NoisePath, from: NoiseLevel, to: NoiseLevel): Stages {
  const middle = inTheMiddle(path, from, to);
  return { ...stage(2, "noise", from, middle), ...stage(3, "noise2", from, middle), ...stage(4, "noise3", from, to) };
}

/** The level whose t is half way between those of two levels, found by halving the interval of log σ. */
function inTheMiddle(path: NoisePath, from: NoiseLevel, to: NoiseLevel): NoiseLevel {
  const t = (from.t + to.t) / 2;
  let [low, high] = [to, from].map((level) => Math.log(sigmaOf(level)));
  const rises = from.t > to.t;
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (path.at(Math.exp(middle)).t > t === rises) high = middle;
    else low = middle;
  }
  return { ...path.at(Math.exp((low + high) / 2)), t };
}
