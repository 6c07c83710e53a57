// The posterior q(x_{t−1} | x_t, x₀) and what turns a noise prediction into an estimate of x₀.

import type { Tensor } from "@pkg/tensor";
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

/**
 * x̂₀ = (x_t − √(1 − ᾱ_t) ε̂) / √ᾱ_t.
 * @param clip limits it to [−1, 1], where images are
 * @throws Error where ᾱ_t = 0: noise alone says nothing of the data
 */
export function dataFromNoise(schedule: Schedule, x: Tensor, noise: Tensor, t: number, clip: boolean): Tensor {
  const alphaBar = alphaBarAt(schedule, t);
  if (alphaBar === 0)
    throw new Error(`dataFromNoise: ᾱ_${t} is 0, want a schedule that keeps some signal to predict noise`);
  const data = x.mul(1 / Math.sqrt(alphaBar)).sub(noise.mul(Math.sqrt(noiseVarianceAt(schedule, t) / alphaBar)));
  return clip ? data.clamp(-1, 1) : data;
}
