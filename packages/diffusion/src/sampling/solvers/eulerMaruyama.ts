// The reverse-time SDE by Euler and Maruyama's method.

import { expectKind } from "../../arguments.ts";
import type { DiscretePath } from "../../forward/discretePath.ts";
import type { SdePath } from "../../forward/sdePath.ts";
import { endsAtData } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, sum } from "../table/step.ts";

/**
 * x′ = x − (f(t) x − g(t)² s(x, t)) Δt + g(t) √Δt z, for VP, sub-VP and VE alike (Song et al. 2021, eq. 6 and appendix D). Of weak
 * order 1. A last step to the data is x̂₀; noise enters all others. On the steps of a schedule it is the variance-preserving SDE
 * through their ᾱ, with an even β over each step.
 * @param path of an SDE, or of a schedule
 */
export const eulerMaruyama = defineSolver({
  name: "eulerMaruyama",
  source: "Song et al. 2021, eq. 6 and appendix D",
  order: 1,
  calls: 1,
  table(path: SdePath | DiscretePath) {
    expectKind("eulerMaruyama", "timedPath", path, "path");
    const ratesAt = "sde" in path ? sdeRates(path) : scheduleRates(path);
    return (place) => {
      const { index, from } = place;
      if (endsAtData(place)) return { rows: { data: ask("x", from), next: "data" } };
      const { step, drift, diffusion } = ratesAt(index);
      const weights = { x: 1 - drift * step, "data.score": diffusion ** 2 * step, noise: diffusion * Math.sqrt(step) };
      return { rows: { data: ask("x", from, "score"), noise: draw, next: sum(weights) } };
    };
  },
});

/** Δt, f(t) and g(t) of a step. */
interface Rates {
  readonly step: number;
  readonly drift: number;
  readonly diffusion: number;
}

function sdeRates({ sde, times }: SdePath): (index: number) => Rates {
  return (index) => {
    const t = times[index];
    return { step: t - times[index + 1], drift: sde.drift(t), diffusion: sde.diffusion(t) };
  };
}

/** Of the variance-preserving SDE between the levels, ∫β dt = −2 log(signal / signal′): taken as one unit of time at an even rate. */
function scheduleRates({ levels }: DiscretePath): (index: number) => Rates {
  return (index) => {
    const beta = -2 * Math.log(levels[index].signal / levels[index + 1].signal);
    return { step: 1, drift: -beta / 2, diffusion: Math.sqrt(beta) };
  };
}
