// DDPM's ancestral sampling.

import { expectKind } from "../../arguments.ts";
import { type DiscretePath, scheduledLevels } from "../../forward/discretePath.ts";
import { meanFromNoise, posterior } from "../../forward/posterior.ts";
import { fixedSmall } from "../../model/variance.ts";
import { expectWord } from "../../optionWords.ts";
import { endsAtData } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, sum } from "../table/step.ts";
import { type AncestralOptions, ancestralWalk } from "../walks/ancestralWalk.ts";

/**
 * x_{t−1} = μ + σ_t z, z ~ N(0, I), no noise in the step to the data, with μ = μ̃(x̂₀, x_t), or
 * μ = (x_t − β_t / √(1 − ᾱ_t) ε̂) / √α_t (Ho et al. 2020, algorithm 2); the same if nothing is clipped.
 * @param path whole steps of a schedule; `eulerAncestral` is the same with `fixedSmall` on any path
 * @throws Error for levels between steps; from a step whose variance is learned when the model has not twice the channels
 */
export const ancestral = defineSolver({
  name: "ancestral",
  source: "Ho et al. 2020, algorithm 2",
  order: 1,
  calls: 1,
  levels: scheduledLevels,
  table(path: DiscretePath, options: AncestralOptions) {
    const { variance = fixedSmall({ first: "clamp" }), mean: of } = checkedOptions(path, options);
    const { schedule } = path;
    return (place) => {
      const { from, to } = place;
      const { fromData, fromNoisy } = posterior(schedule, from.t, to.t);
      const byNoise = of === "noise" ? meanFromNoise(schedule, from.t, to.t) : [];
      const found =
        of === "data"
          ? { data: ask("x", from), mean: sum({ data: fromData, x: fromNoisy }) }
          : { data: ask("x", from, "noise"), mean: sum({ x: byNoise[0], "data.noise": byNoise[1] }) };
      if (endsAtData(place)) return { rows: { ...found, next: "mean" } };
      const deviation = Math.exp((1 / 2) * (variance.logVarianceAt?.(schedule, from.t, to.t) ?? Number.NaN));
      return { rows: { ...found, noise: draw, next: sum({ mean: 1, noise: deviation }) } };
    };
  },
  instead(path: DiscretePath, options: AncestralOptions) {
    const { variance, shift } = checkedOptions(path, options);
    return shift || (variance && !variance.logVarianceAt) ? ancestralWalk(path, options) : undefined;
  },
});

function checkedOptions(path: DiscretePath, options: AncestralOptions) {
  const { mean = "data" } = options;
  expectKind("ancestral", "discretePath", path, "path");
  expectWord("ancestral", "mean", mean, ["data", "noise"]);
  const between = path.levels.find(({ t }) => !Number.isInteger(t));
  if (between) throw new Error(`ancestral: the path asks at step ${between.t}, want whole steps of the schedule`);
  return { ...options, mean };
}
