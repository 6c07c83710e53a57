// Weights of the loss by step: functions of the schedule and t that multiply each sample's squared error.

import type { Prediction } from "./parameterization.ts";
import { posterior } from "./posterior.ts";
import { noiseVarianceAt, type Schedule, snrAt } from "./schedule.ts";

/** The weight of a sample at step t. */
export type LossWeight = (schedule: Schedule, t: number) => number;

/**
 * β_t² / (2 σ_t² α_t (1 − ᾱ_t)), which makes L_simple the bound's L_{t−1} (Ho et al. 2020, eq. 12), for predicted noise.
 * With σ² = β̃ the first step's is infinite (β̃_1 = 0); there, as their code does, β stands in.
 */
export function variationalWeight(variance: "fixedSmall" | "fixedLarge" = "fixedSmall"): LossWeight {
  return (schedule, t) => {
    const beta = schedule.betas[t];
    const small = posterior(schedule, t).variance;
    const sigma2 = variance === "fixedLarge" || small === 0 ? beta : small;
    return beta ** 2 / (2 * sigma2 * (1 - beta) * noiseVarianceAt(schedule, t));
  };
}

/**
 * min(SNR, γ), as a weight of the data's error (Hang et al. 2023), turned into one of what is predicted: divided by SNR for noise,
 * by SNR + 1 for velocity. γ = 5 in the paper. Finite at ᾱ = 0.
 */
export function minSnrWeight(gamma = 5, prediction: Exclude<Prediction, "mean" | "score"> = "noise"): LossWeight {
  return (schedule, t) => {
    const snr = snrAt(schedule, t);
    if (prediction === "data") return Math.min(snr, gamma);
    if (prediction === "velocity") return Math.min(snr, gamma) / (snr + 1);
    return snr <= gamma ? 1 : gamma / snr;
  };
}

/** 1 / (k + SNR)^γ for predicted noise (Choi et al. 2022, P2). */
export function p2Weight({ k = 1, gamma = 1 }: { readonly k?: number; readonly gamma?: number } = {}): LossWeight {
  return (schedule, t) => (k + snrAt(schedule, t)) ** -gamma;
}
