// Falling noise levels σ for samplers of x = x₀ + σ ε: Karras', exponential and polyexponential ones.

import { expectArguments } from "../arguments.ts";

/** The ends of a list of levels; by default those of EDM on images of unit scale. */
export interface SigmaRange {
  /** Default 0.002. */
  readonly min?: number;
  /** Default 80. */
  readonly max?: number;
}

/**
 * σ_i = (σ_max^(1/ρ) + i/(n−1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ, i = 0 … n − 1 (Karras et al. 2022, eq. 5).
 * @param options rho: 7 by default; larger ones place more levels at low noise
 * @returns n falling numbers; σ_max alone for n = 1
 */
export function karras(n: number, options: SigmaRange & { readonly rho?: number } = {}): number[] {
  expectArguments("karras", { options });
  const { min = 0.002, max = 80, rho = 7 } = options;
  checkRange("karras", n, min, max);
  checkRho("karras", rho);
  return spread(n, (share) => (max ** (1 / rho) + share * (min ** (1 / rho) - max ** (1 / rho))) ** rho);
}

/** log σ falls linearly. */
export function exponential(n: number, options: SigmaRange = {}): number[] {
  expectArguments("exponential", { options });
  const { min = 0.002, max = 80 } = options;
  checkRange("exponential", n, min, max);
  return polyexponential(n, { min, max, rho: 1 });
}

/** log σ falls as (1 − i/(n−1))^ρ. */
export function polyexponential(n: number, options: SigmaRange & { readonly rho?: number } = {}): number[] {
  expectArguments("polyexponential", { options });
  const { min = 0.002, max = 80, rho = 1 } = options;
  checkRange("polyexponential", n, min, max);
  checkRho("polyexponential", rho);
  return spread(n, (share) => Math.exp((1 - share) ** rho * Math.log(max / min) + Math.log(min)));
}

/** Values at 0, 1/(n−1), …, 1. */
function spread(n: number, at: (share: number) => number): number[] {
  return Array.from({ length: n }, (_, i) => at(n === 1 ? 0 : i / (n - 1)));
}

function checkRange(name: string, n: number, min: number, max: number): void {
  if (!(Number.isInteger(n) && n >= 1)) throw new Error(`${name}: n is ${n}, want a positive integer`);
  if (!(min > 0 && max > min && Number.isFinite(max)))
    throw new Error(`${name}: σ from ${max} to ${min}, want 0 < min < max`);
}

function checkRho(name: string, rho: number): void {
  if (!(rho > 0 && Number.isFinite(rho))) throw new Error(`${name}: rho is ${rho}, want a positive number`);
}
