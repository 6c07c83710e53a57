// Ancestral steps on any path: how far the ODE is followed, and how much new noise makes up for the rest.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectKind } from "../../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoiseSource } from "../sampler.ts";
import { checkNonNegative } from "./checkOptions.ts";
import { liveLevel } from "./liveLevels.ts";

export interface AncestralNoise {
  /** η: 0 is deterministic, 1 as noisy as the reversed forward process. In [0, 1], by default 1. */
  readonly eta?: number;
  /** The standard deviation of the new noise. Default 1; other values leave the marginals. */
  readonly scale?: number;
}

/** A step in two parts: to less noise than the next level has, and up to it again. */
export interface AncestralSplit {
  /** The level with σ_down and the next level's signal. */
  readonly down: NoiseLevel;
  /** Takes x from there to the next level: x + signal · σ_up · z. Draws nothing where σ_up is 0. */
  renoise(x: Tensor, rng: NoiseSource): Tensor;
}

/** @throws Error when eta is not in [0, 1], or scale is below 0 */
export function checkAncestral(name: string, noise: AncestralNoise): void {
  expectKind(name, "options", noise, "noise");
  const { eta = 1, scale = 1 } = noise;
  if (!(eta >= 0 && eta <= 1)) throw new Error(`${name}: eta is ${eta}, want a number in [0, 1]`);
  checkNonNegative(name, { scale });
}

/**
 * σ_up² = η² σ′² (1 − σ′² / σ²) and σ_down² = σ′² − σ_up²: with η = 1 the posterior of the forward process.
 * @param isLast whether the next level has no noise
 */
export function ancestralSplit(
  level: NoiseLevel,
  next: NoiseLevel,
  isLast: boolean,
  { eta = 1, scale = 1 }: AncestralNoise,
): AncestralSplit {
  const upVariance = () => {
    const [sigma, after] = [sigmaOf(level), sigmaOf(next)];
    return (eta * after) ** 2 * (1 - (after / sigma) ** 2);
  };
  return {
    down: liveLevel(() => ({ ...next, noise: next.signal * Math.sqrt(sigmaOf(next) ** 2 - upVariance()) })),
    renoise(x, rng) {
      if (isLast || eta === 0 || scale === 0) return x;
      const noise = rng.normal(x.shape, { backend: x.backend });
      return weightedSum([x, noise], () => [1, scale * next.signal * Math.sqrt(upVariance())]);
    },
  };
}
