// A noise level: where on the way from data to noise a sample stands. Samplers and conversions see schedules through these.

import { expectArguments } from "../arguments.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";

/**
 * A place between data and noise, where x = signal · x₀ + noise · ε. Variance-preserving diffusions have signal² + noise² = 1,
 * variance-exploding ones signal = 1.
 */
export interface NoiseLevel {
  /** What the model calls it: a step of a schedule, σ, or a continuous time. −1 or 0 at the data, where no model is asked. */
  readonly t: number;
  /** In [0, 1]. */
  readonly signal: number;
  /** The standard deviation of the noise, from 0 on. */
  readonly noise: number;
  /** dα/dt and dσ/dt, by which a flow moves x₀ and ε there: dx/dt = α′ x₀ + σ′ ε. Default −1 and 1, the straight line's. */
  readonly rates?: Rates;
}

/** The derivatives of signal and noise by the time of a flow. */
export interface Rates {
  /** dα/dt. */
  readonly signal: number;
  /** dσ/dt. */
  readonly noise: number;
}

/** The level of a step of a schedule: √ᾱ_t and √(1 − ᾱ_t); the data for t = −1. @throws Error when t is no step of the schedule */
export function levelAt(schedule: Schedule, t: number): NoiseLevel {
  return { t, signal: Math.sqrt(alphaBarAt(schedule, t)), noise: Math.sqrt(noiseVarianceAt(schedule, t)) };
}

/** σ = noise / signal, the level of x / signal (Karras et al. 2022); infinite without a signal. */
export function sigmaOf(level: NoiseLevel): number {
  const { signal, noise } = read("sigmaOf", level);
  return noise / signal;
}

/** λ = log(signal / noise), half of the log of the signal-to-noise ratio (Lu et al. 2022); infinite at the data. */
export function lambdaOf(level: NoiseLevel): number {
  const { signal, noise } = read("lambdaOf", level);
  return Math.log(signal / noise);
}

/** The level, looked at in a nanosecond: solvers ask at every step. */
function read(name: string, level: NoiseLevel): NoiseLevel {
  if (typeof level?.noise !== "number" || typeof level.signal !== "number") expectArguments(name, { level });
  return level;
}
