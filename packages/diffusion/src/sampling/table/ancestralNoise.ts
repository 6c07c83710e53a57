// Ancestral steps on any path: the ODE to a level below the next one, and new noise up to it.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import { checkNonNegative } from "./checkOptions.ts";
import { endsAtData } from "./levels.ts";
import { draw, type Row, type StepPlace, sum } from "./step.ts";

/** How much noise an ancestral step adds. */
export interface AncestralNoise {
  /** η: 0 is deterministic, 1 as noisy as the reversed forward process. In [0, 1], by default 1. */
  readonly eta?: number;
  /** The standard deviation of the new noise. Default 1; other values leave the marginals. */
  readonly scale?: number;
}

/** A step in two parts: down to less noise than the next level's, and up to it again. */
export interface AncestralSplit {
  /** The level with σ_down and the next level's signal. */
  readonly down: NoiseLevel;
  /** The rows that take a quantity from there to the next level: x + signal · σ_up · z. Nothing is drawn where σ_up is 0. */
  renoised(quantity: string): { readonly next: Row };
}

/** @throws Error when eta is not in [0, 1], or scale is below 0 */
export function checkAncestral(name: string, { eta = 1, scale = 1 }: AncestralNoise): void {
  checkEta(name, eta);
  checkNonNegative(name, { scale });
}

/** @throws Error when eta is not in [0, 1] */
export function checkEta(name: string, eta: number): void {
  if (!(eta >= 0 && eta <= 1)) throw new Error(`${name}: eta is ${eta}, want a number in [0, 1]`);
}

/** σ_up² = η² σ′² (1 − σ′² / σ²) and σ_down² = σ′² − σ_up²: with η = 1 the posterior of the forward process. */
export function ancestralSplit(place: StepPlace, { eta = 1, scale = 1 }: AncestralNoise): AncestralSplit {
  const { from, to } = place;
  const [sigma, after] = [from, to].map(sigmaOf);
  const upVariance = (eta * after) ** 2 * (1 - (after / sigma) ** 2);
  return {
    down: { ...to, noise: to.signal * Math.sqrt(after ** 2 - upVariance) },
    renoised(quantity) {
      if (endsAtData(place) || eta === 0 || scale === 0) return { next: quantity };
      const rows = { noise: draw, next: sum({ [quantity]: 1, noise: scale * to.signal * Math.sqrt(upVariance) }) };
      return rows;
    },
  };
}
