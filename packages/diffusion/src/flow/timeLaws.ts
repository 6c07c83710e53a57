// Laws by which continuous times t in [0, 1] are drawn for training flows, with their densities.

import type { RandomStream } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/** A distribution of t in [0, 1], from data (0) to noise (1). */
export interface TimeLaw {
  /** One t per sample, [batch], in [0, 1]: the same numbers for every backend. One draw of rng. */
  draw(batch: number, rng: RandomStream): Float32Array;
  /** p(t), which integrates to 1 over [0, 1]. */
  density(t: number): number;
}

/** t uniform in [0, 1]. */
export function uniformLaw(): TimeLaw {
  return {
    draw: (batch, rng) => drawn(batch, rng),
    density: (t) => (isTime(t) ? 1 : 0),
  };
}

/**
 * t′ = s t / (1 + (s − 1) t): more noise for s above 1 (Esser et al. 2024, eq. 23).
 * @param shift s, positive; `resolutionShift` tells it for a resolution
 */
export function shiftedTime(t: number, shift: number): number {
  if (!isTime(t)) throw new Error(`shiftedTime: t is ${t}, want a number in [0, 1]`);
  if (!(shift > 0 && Number.isFinite(shift))) throw new Error(`shiftedTime: shift is ${shift}, want a positive number`);
  return (shift * t) / (1 + (shift - 1) * t);
}

/** Uniform numbers in [0, 1). */
function drawn(batch: number, rng: RandomStream): Float32Array {
  expectArguments("law", { rng });
  return Float32Array.from(rng.host.uniform([batch]));
}

function isTime(t: number): boolean {
  return typeof t === "number" && t >= 0 && t <= 1;
}
