// Interpolants: the curves x_t = α(t) x₀ + σ(t) ε between data and noise that flows follow.

import type { Tensor } from "@pkg/tensor";
import type { NoiseLevel, Rates } from "../forward/level.ts";

/** A level of an interpolant. */
export interface InterpolantLevel extends NoiseLevel {
  /** α′(t) and σ′(t). */
  readonly rates: Rates;
}

/** The same of each sample as tensors, [batch] each, which can be differentiated by t. */
export interface InterpolantTensors {
  /** α(t). */
  readonly signal: Tensor;
  /** σ(t). */
  readonly noise: Tensor;
  /** α′(t) and σ′(t). */
  readonly rates: { readonly signal: Tensor; readonly noise: Tensor };
}

/**
 * x_t = α(t) x₀ + σ(t) ε for t from 0 (data: α = 1, σ = 0) to 1 (noise: α = 0), with dx/dt = α′ x₀ + σ′ ε and σ / α rising (Albergo et al.
 * 2023). `linearInterpolant` and `vpInterpolant` make the known ones; any object of this kind will do.
 */
export interface Interpolant {
  /** α(t), σ(t) and their derivatives. @throws Error for t outside [0, 1] */
  level(t: number): InterpolantLevel;
  /** The t at which σ / α is sigma. */
  time(sigma: number): number;
  /** The level of each t of a float32 tensor [batch]; without it, times have to be lists. */
  tensors?(times: Tensor): InterpolantTensors;
}

/**
 * x_t = (1 − t) x₀ + t ε, on which u = ε − x₀ and every sample goes straight (Lipman et al. 2023, optimal transport paths; Liu et al. 2023,
 * rectified flow).
 * @example
 * ```ts
 * import { linearInterpolant } from "@pkg/diffusion";
 *
 * const { signal, noise, rates } = linearInterpolant().level(0.25);
 * console.log(signal, noise, rates); // 0.75 0.25 { signal: -1, noise: 1 }
 * ```
 */
export function linearInterpolant(): Interpolant {
  return {
    level: (t) => ({ t: checkTime("linearInterpolant", t), signal: 1 - t, noise: t, rates: { signal: -1, noise: 1 } }),
    time: (sigma) => (sigma === Number.POSITIVE_INFINITY ? 1 : sigma / (1 + sigma)),
    tensors: (times) => {
      const one = times.affine(0, 1);
      return { signal: times.affine(-1, 1), noise: times, rates: { signal: one.neg(), noise: one } };
    },
  };
}

/**
 * x_t = cos(π t / 2) x₀ + sin(π t / 2) ε, which preserves the variance: dx/dt is π / 2 times v of Salimans & Ho 2022 (Albergo et al. 2023;
 * "GVP" of Ma et al. 2024).
 */
export function vpInterpolant(): Interpolant {
  const rate = Math.PI / 2;
  return {
    level(t) {
      const angle = rate * checkTime("vpInterpolant", t);
      const signal = t === 1 ? 0 : Math.cos(angle); // cos(π / 2) rounds to 6e-17
      const noise = Math.sin(angle);
      return { t, signal, noise, rates: { signal: -rate * noise, noise: rate * signal } };
    },
    time: (sigma) => Math.atan(sigma) / rate,
    tensors(times) {
      const angle = times.mul(rate);
      const [signal, noise] = [angle.cos(), angle.sin()];
      return { signal, noise, rates: { signal: noise.mul(-rate), noise: signal.mul(rate) } };
    },
  };
}

/** @throws Error for t outside [0, 1] */
function checkTime(name: string, t: number): number {
  if (!(Number.isFinite(t) && t >= 0 && t <= 1)) throw new Error(`${name}: t is ${t}, want a number in [0, 1]`);
  return t;
}
