// The posterior q(x_{t−1} | x_t, x₀) of the forward process: its mean from the data or from the noise, and its variance.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkPredicted } from "../objective/perSample.ts";
import { expectWord } from "../optionWords.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";

/** μ̃ = fromData · x₀ + fromNoisy · x_t and β̃ (Ho et al. 2020, eq. 7), for a step from t to any earlier one. */
export interface Posterior {
  /** The coefficient of x₀ in μ̃. */
  readonly fromData: number;
  /** The coefficient of x_t in μ̃. */
  readonly fromNoisy: number;
  /** β̃; 0 for the step to the data (to = −1). */
  readonly variance: number;
  /** 1 − ᾱ_t / ᾱ_to: β_t when the steps are neighbours. */
  readonly beta: number;
}

/**
 * What stands in for log β̃ where β̃ is 0, in the step to the data:
 * - `nextVariance`: log β̃ of the step before it in sampling, β̃_2 of the papers (Ho et al.'s and Nichol & Dhariwal's code)
 * - `clamp`: log 1e-20 (−46.05), as other code has it; a decoder with such a variance gives ruinous likelihoods
 */
export type FirstVariance = "nextVariance" | "clamp";

/**
 * The coefficients and the variance of q(x_to | x_t, x₀).
 * @param to the step that follows in sampling, below t; −1 is the data
 * @throws Error when `t` or `to` is not such a step
 */
export function posterior(schedule: Schedule, t: number, to = t - 1): Posterior {
  if (t === -1) throw new Error("posterior: t is −1, the data, from which no step leads on: want 0 or later");
  const [here, there] = [noiseVarianceAt(schedule, t), noiseVarianceAt(schedule, to)];
  if (to >= t) throw new Error(`posterior: from step ${t} to ${to}, want an earlier one`);
  const signal = alphaBarAt(schedule, to);
  const beta = jumpBeta(schedule, t, to);
  return {
    fromData: (Math.sqrt(signal) * beta) / here,
    fromNoisy: (Math.sqrt(1 - beta) * there) / here,
    variance: (beta * there) / here,
    beta,
  };
}

/**
 * log β̃, finite also in the step to the data, where `first` says what stands in for log 0. A schedule of one step has no other
 * β̃: there it is log β.
 * @throws Error when t or `to` are no steps as in `posterior`
 */
export function posteriorLogVariance(
  schedule: Schedule,
  t: number,
  to = t - 1,
  options: { readonly first?: FirstVariance } = {},
): number {
  expectArguments("posteriorLogVariance", { options });
  const { first = "nextVariance" } = options;
  expectWord("posteriorLogVariance", "first", first, ["nextVariance", "clamp"]);
  const { variance, beta } = posterior(schedule, t, to);
  if (variance > 0) return Math.log(variance);
  if (first === "clamp") return Math.log(1e-20);
  return Math.log(t + 1 < schedule.steps ? posterior(schedule, t + 1, t).variance : beta);
}

/**
 * The posterior's mean in terms of ε instead of x₀, (x_t − β / √(1 − ᾱ_t) ε) / √(1 − β) (Ho et al. 2020, eq. 11): what their
 * algorithm 2 states. It is `fromData · x̂₀ + fromNoisy · x_t` where x̂₀ is not clipped, and another value where it is.
 * @param x [batch, ...] at step t
 * @param noise of x's shape, true or predicted
 * @throws Error when t or `to` are no steps as in `posterior`, or ᾱ_t is 0, where the noise says nothing of the data;
 * ShapeError for noise that is not of x's shape
 */
export function posteriorMeanFromNoise(schedule: Schedule, x: Tensor, noise: Tensor, t: number, to = t - 1): Tensor {
  expectArguments("posteriorMeanFromNoise", { schedule, x, noise });
  checkPredicted("posteriorMeanFromNoise", noise, x);
  return weightedSum([x, noise], meanFromNoise(schedule, t, to));
}

/** What x_t and ε are multiplied by in it. @throws Error as it does */
export function meanFromNoise(schedule: Schedule, t: number, to: number): readonly [ofX: number, ofNoise: number] {
  const { beta } = posterior(schedule, t, to);
  if (beta === 1) {
    throw new Error(
      `posteriorMeanFromNoise: β is 1 at step ${t}, where the noise says nothing of the data: want β below 1`,
    );
  }
  const root = Math.sqrt(1 - beta);
  return [1 / root, -beta / (Math.sqrt(noiseVarianceAt(schedule, t)) * root)];
}

/** 1 − Π (1 − β_s) over the steps of a jump: the ratio of ᾱ has no value where they are 0, and few digits where β is small. */
function jumpBeta({ betas }: Schedule, t: number, to: number): number {
  if (to === t - 1) return betas[t];
  return -Math.expm1(betas.subarray(to + 1, t + 1).reduce((sum, beta) => sum + Math.log1p(-beta), 0));
}
