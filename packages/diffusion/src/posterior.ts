// The posterior q(x_{t−1} | x_t, x₀) of the forward process.

import { alphaBarAt, noiseVarianceAt, type Schedule } from "./schedule.ts";

/** μ̃ = fromData · x₀ + fromNoisy · x_t and β̃ (Ho et al. 2020, eq. 7), for a step from t to any earlier one. */
export interface Posterior {
  readonly fromData: number;
  readonly fromNoisy: number;
  /** β̃; 0 for the step to the data (to = −1). */
  readonly variance: number;
  /** 1 − ᾱ_t / ᾱ_to: β_t when the steps are neighbours. */
  readonly beta: number;
}

/** @param to the step that follows in sampling, below t; −1 is the data. @throws Error when t or `to` are no such steps */
export function posterior(schedule: Schedule, t: number, to = t - 1): Posterior {
  const [here, there] = [noiseVarianceAt(schedule, t), noiseVarianceAt(schedule, to)];
  if (to >= t) throw new Error(`posterior: from step ${t} to ${to}, want an earlier one`);
  const signal = alphaBarAt(schedule, to);
  const beta = to === t - 1 ? schedule.betas[t] : (here - there) / signal;
  return {
    fromData: (Math.sqrt(signal) * beta) / here,
    fromNoisy: (Math.sqrt(1 - beta) * there) / here,
    variance: (beta * there) / here,
    beta,
  };
}
