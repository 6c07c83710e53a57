// The reverse-time SDE by Euler and Maruyama's method.

import { wrongArgument } from "@pkg/tensor";
import { expectKind } from "../../arguments.ts";
import type { FlowPath } from "../../flow/flowPath.ts";
import type { DiscretePath } from "../../forward/discretePath.ts";
import type { SdePath } from "../../forward/sdePath.ts";
import { endsAtData } from "../table/levels.ts";
import { defineSolver } from "../table/solver.ts";
import { ask, draw, type StepTable, sum } from "../table/step.ts";

/** The noise of the reverse SDE. */
export interface EulerMaruyamaOptions {
  /**
   * g(t), from 0 on: how much noise the reverse SDE adds and removes, without a change of its marginals. 0 is the probability-flow ODE.
   * For paths with times, of an SDE or a flow. Default: the SDE's own, of a flow √(2 σ(t)), the default of SiT's code too.
   */
  readonly diffusion?: (t: number) => number;
}

/**
 * x′ = x − (v(x, t) − ½ g² s(x, t)) Δt + g √Δt z, where v is the velocity of the probability-flow ODE and g is free (Ma et al. 2024, eq. 6;
 * Albergo et al. 2023, eq. 2.33). On an SDE's times v = f x − ½ g² s, with the SDE's own g: x − (f x − g² s) Δt + g √Δt z for VP, sub-VP
 * and VE alike (Song et al. 2021, eq. 6 and appendix D). Of weak order 1. A last step to the data is x̂₀; noise enters all others. On the
 * steps of a schedule it is the variance-preserving SDE through their ᾱ, with an even β over each step.
 * @param path of an SDE, a schedule or a flow
 * @throws Error for `diffusion` on a schedule, and where it is negative or not finite
 */
export const eulerMaruyama = defineSolver({
  name: "eulerMaruyama",
  source: "Song et al. 2021, eq. 6 and appendix D",
  order: 1,
  calls: 1,
  table(path: SdePath | DiscretePath | FlowPath, { diffusion }: EulerMaruyamaOptions) {
    expectKind("eulerMaruyama", "timedPath", path, "path");
    if (diffusion !== undefined && typeof diffusion !== "function")
      throw wrongArgument("eulerMaruyama", "diffusion", diffusion, "a function: (t) => g");
    if ("interpolant" in path) return flowTable(path, diffusion);
    if (!("sde" in path) && diffusion)
      throw new Error(
        "eulerMaruyama: diffusion on the steps of a schedule, want a path with times: of an SDE or a flow",
      );
    const ratesAt = "sde" in path ? sdeRates(path, diffusion) : scheduleRates(path);
    return (place) => {
      const { index, from } = place;
      if (endsAtData(place)) return { rows: { data: ask("x", from), next: "data" } };
      const { step, drift, ofScore, noise } = ratesAt(index);
      const weights = { x: 1 - drift * step, "data.score": ofScore * step, noise: noise * Math.sqrt(step) };
      return { rows: { data: ask("x", from, "score"), noise: draw, next: sum(weights) } };
    };
  },
});

/** Δt, f(t), the weight of the score and g(t) of a step. */
interface StepRates {
  readonly step: number;
  readonly drift: number;
  readonly ofScore: number;
  readonly noise: number;
}

function sdeRates({ sde, times }: SdePath, diffusion: EulerMaruyamaOptions["diffusion"]): (index: number) => StepRates {
  return (index) => {
    const t = times[index];
    const own = sde.diffusion(t);
    const noise = diffusion ? checkedDiffusion(diffusion, t) : own;
    return {
      step: t - times[index + 1],
      drift: sde.drift(t),
      ofScore: diffusion ? (own ** 2 + noise ** 2) / 2 : own ** 2,
      noise,
    };
  };
}

/** Of the variance-preserving SDE between the levels, ∫β dt = −2 log(signal / signal′): taken as one unit of time at an even rate. */
function scheduleRates({ levels }: DiscretePath): (index: number) => StepRates {
  return (index) => {
    const beta = -2 * Math.log(levels[index].signal / levels[index + 1].signal);
    return { step: 1, drift: -beta / 2, ofScore: Math.sqrt(beta) ** 2, noise: Math.sqrt(beta) };
  };
}

/** v is α′ x̂₀ + σ′ ε̂ and s = −ε̂ / σ, so that nothing is divided by the signal, which is 0 at t = 1. */
function flowTable({ interpolant, times, levels }: FlowPath, diffusion: EulerMaruyamaOptions["diffusion"]): StepTable {
  const squareOf = (t: number) => (diffusion ? checkedDiffusion(diffusion, t) ** 2 : 2 * interpolant.level(t).noise);
  return (place) => {
    const { index, from } = place;
    if (endsAtData(place)) return { rows: { data: ask("x", from), next: "data" } };
    const t = times[index];
    const step = t - times[index + 1];
    const { rates } = interpolant.level(t);
    const square = squareOf(t);
    const ofNoise = -rates.noise - square / (2 * levels[index].noise);
    const weights = { x: 1, data: -rates.signal * step, "data.noise": ofNoise * step };
    const found = { data: ask("x", from, "noise") };
    if (square === 0) return { rows: { ...found, next: sum(weights) } };
    return { rows: { ...found, noise: draw, next: sum({ ...weights, noise: Math.sqrt(square * step) }) } };
  };
}

/** @throws Error for g(t) that is negative or not finite */
function checkedDiffusion(diffusion: (t: number) => number, t: number): number {
  const value = diffusion(t);
  if (value >= 0 && Number.isFinite(value)) return value;
  throw new Error(`eulerMaruyama: diffusion at t = ${t} is ${value}, want a finite number from 0 on`);
}
