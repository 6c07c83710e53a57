// Diffusions in continuous time, dx = f(t) x dt + g(t) dw for t from 0 (data) to 1 (noise): VP, sub-VP and VE (Song et al. 2021).

import { expectArguments } from "../arguments.ts";
import type { NoiseLevel } from "./level.ts";

/** A linear stochastic differential equation, dx = f(t) x dt + g(t) dw. Its functions throw Error for t outside [0, 1]. */
export interface Sde {
  /** f(t). */
  drift(t: number): number;
  /** g(t). */
  diffusion(t: number): number;
  /** The marginal of x_t given x₀, N(signal · x₀, noise² I), and what the model calls t. */
  level(t: number): NoiseLevel;
  /** The t at which noise / signal is σ; the nearer end of [0, 1] where there is none. */
  time(sigma: number): number;
  /** The standard deviation of what samplers start from at t = 1. */
  readonly prior: number;
  /** Where sampling stops short of t = 0, at which the score is infinite or has no data behind it. */
  readonly smallestTime: number;
}

/** The ends of a β(t) that is linear in t. */
export interface BetaEnds {
  /** β(0). Default 0.1. */
  readonly betaMin?: number;
  /** β(1). Default 20. */
  readonly betaMax?: number;
}

/**
 * The variance-preserving SDE, dx = −½ β x dt + √β dw with β linear in t (Song et al. 2021, eq. 11, appendix C): DDPM with infinitely many
 * steps. With B = ∫β, signal = e^(−B/2) and noise² = 1 − e^(−B). Sampled down to t = 1e-3; models get t · 999.
 * @throws Error unless 0 ≤ betaMin < betaMax
 */
export function vpSde(options: BetaEnds = {}): Sde {
  expectArguments("vpSde", { options });
  const { betaMin = 0.1, betaMax = 20 } = options;
  const { beta, integral, time } = linearBeta("vpSde", betaMin, betaMax);
  return {
    drift: (t) => -beta(t) / 2,
    diffusion: (t) => Math.sqrt(beta(t)),
    level: (t) => ({ t: 999 * t, signal: Math.exp(-integral(t) / 2), noise: Math.sqrt(-Math.expm1(-integral(t))) }),
    time: (sigma) => time(Math.log1p(sigma ** 2)),
    prior: 1,
    smallestTime: 1e-3,
  };
}

/**
 * The sub-VP SDE: VP's drift with g² = β (1 − e^(−2B)), so that noise = 1 − e^(−B), less than VP's at every t (Song et al. 2021,
 * eq. 12). Sampled down to t = 1e-3; models get t · 999.
 * @throws Error unless 0 ≤ betaMin < betaMax
 */
export function subVpSde(options: BetaEnds = {}): Sde {
  expectArguments("subVpSde", { options });
  const { betaMin = 0.1, betaMax = 20 } = options;
  const { beta, integral, time } = linearBeta("subVpSde", betaMin, betaMax);
  return {
    drift: (t) => -beta(t) / 2,
    diffusion: (t) => Math.sqrt(beta(t) * -Math.expm1(-2 * integral(t))),
    level: (t) => ({ t: 999 * t, signal: Math.exp(-integral(t) / 2), noise: -Math.expm1(-integral(t)) }),
    // σ = (1 − e^(−B)) e^(B/2) = 2 sinh(B/2)
    time: (sigma) => time(2 * Math.asinh(sigma / 2)),
    prior: 1,
    smallestTime: 1e-3,
  };
}

/**
 * The variance-exploding SDE, dx = √(dσ²/dt) dw with σ(t) = σ_min (σ_max / σ_min)^t (Song et al. 2021, eq. 9, appendix C): NCSN with
 * infinitely many levels. noise = σ(t), as in the paper's code; so at t = 0 there is σ_min of it. Sampled down to t = 1e-5; models
 * get σ.
 * @throws Error unless 0 < sigmaMin < sigmaMax
 */
export function veSde(
  options: {
    /** Default 0.01. */
    readonly sigmaMin?: number;
    /** About the largest distance between two data. Default 50. */
    readonly sigmaMax?: number;
  } = {},
): Sde {
  expectArguments("veSde", { options });
  const { sigmaMin = 0.01, sigmaMax = 50 } = options;
  if (!(sigmaMin > 0 && sigmaMax > sigmaMin && Number.isFinite(sigmaMax)))
    throw new Error(`veSde: σ from ${sigmaMin} to ${sigmaMax}, want 0 < sigmaMin < sigmaMax`);
  const rate = Math.log(sigmaMax / sigmaMin);
  const sigmaAt = (t: number) => sigmaMin * Math.exp(rate * checkTime("veSde", t));
  return {
    drift: (t) => {
      checkTime("veSde", t);
      return 0;
    },
    diffusion: (t) => sigmaAt(t) * Math.sqrt(2 * rate),
    level: (t) => ({ t: sigmaAt(t), signal: 1, noise: sigmaAt(t) }),
    time: (sigma) => within01(Math.log(checkSigma(sigma) / sigmaMin) / rate),
    prior: sigmaMax,
    smallestTime: 1e-5,
  };
}

/** β(t), B(t) = ∫₀ᵗ β and its inverse. */
function linearBeta(
  name: string,
  betaMin: number,
  betaMax: number,
): { beta(t: number): number; integral(t: number): number; time(integral: number): number } {
  if (!(betaMin >= 0 && betaMax > betaMin && Number.isFinite(betaMax)))
    throw new Error(`${name}: β from ${betaMin} to ${betaMax}, want 0 ≤ betaMin < betaMax`);
  const slope = betaMax - betaMin;
  return {
    beta: (t) => betaMin + slope * checkTime(name, t),
    integral: (t) => checkTime(name, t) * (betaMin + (slope * t) / 2),
    // The root of ½ slope t² + betaMin t = B, in the form that does not cancel.
    time: (integral) =>
      integral === Number.POSITIVE_INFINITY
        ? 1
        : within01((2 * checkSigma(integral)) / (betaMin + Math.sqrt(betaMin ** 2 + 2 * slope * integral))),
  };
}

function checkTime(name: string, t: number): number {
  if (!(t >= 0 && t <= 1)) throw new Error(`${name}: t is ${t}, want a number in [0, 1]`);
  return t;
}

function checkSigma(sigma: number): number {
  if (!(sigma > 0)) throw new Error(`sde: σ is ${sigma}, want a positive number`);
  return sigma;
}

function within01(t: number): number {
  return Math.min(1, Math.max(0, t));
}
