// Weights of the loss by step: functions of the schedule and t that multiply each sample's squared error.

import { expectArguments } from "../arguments.ts";
import { posterior } from "../forward/posterior.ts";
import { isOfNoise, type Prediction } from "../model/parameterization.ts";
import { expectPrediction, expectWord } from "../optionWords.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule, snrAt } from "../schedule/schedule.ts";

/** The weight of a sample at step t. */
export type LossWeight = (schedule: Schedule, t: number) => number;

/** Names of the weights of this file, which follow from schedule and step alone: equal names stand for equal weights. */
const names = new WeakMap<LossWeight, string>();

/** What a table of the weight may be kept under; undefined for a weight that may give another number the next time. */
export function nameOfWeight(weight: LossWeight): string | undefined {
  return names.get(weight);
}

function named(name: string, weight: LossWeight): LossWeight {
  names.set(weight, name);
  return weight;
}

/**
 * β_t² / (2 σ_t² α_t (1 − ᾱ_t)), which makes L_simple the bound's L_{t−1} (Ho et al. 2020, eq. 12), for predicted noise.
 * With σ² = β̃ the first step's is infinite (β̃_1 = 0); there, as their code does, β stands in. Where β is 1 (zero terminal SNR) it is
 * infinite, since the noise says nothing of the data there: weight another prediction, by `convertWeight`.
 */
export function variationalWeight(variance: "fixedSmall" | "fixedLarge" = "fixedSmall"): LossWeight {
  expectWord("variationalWeight", "variance", variance, ["fixedSmall", "fixedLarge"]);
  return named(`variational ${variance}`, (schedule, t) => {
    const beta = schedule.betas[t];
    const small = posterior(schedule, t).variance;
    const sigma2 = variance === "fixedLarge" || small === 0 ? beta : small;
    return beta ** 2 / (2 * sigma2 * (1 - beta) * noiseVarianceAt(schedule, t));
  });
}

/**
 * A weight of one kind of prediction's squared error as one of another's, so that w_from ‖Δfrom‖² = w_to ‖Δto‖²:
 * ‖Δε‖² = SNR ‖Δx₀‖², ‖Δv‖² = (1 + SNR) ‖Δx₀‖², ‖Δu‖² = (1 + √SNR)² ‖Δx₀‖² of a flow's u = ε − x₀, ‖Δs‖² = ‖Δε‖² / (1 − ᾱ), ‖Δμ‖² = β² / (α (1 − ᾱ)) ‖Δε‖². At ᾱ = 0, where the noise
 * says nothing of the data, a weight of the data's error is an infinite one of the noise's, but 0 stays 0.
 */
export function convertWeight(
  weight: LossWeight,
  options: { readonly from: Prediction; readonly to: Prediction },
): LossWeight {
  expectArguments("convertWeight", { weight, options });
  const { from, to } = options;
  for (const kind of [from, to]) expectPrediction("convertWeight", kind);
  if (from === to) return weight;
  const unit = isOfNoise(from) && isOfNoise(to) ? noiseError : dataError;
  const converted: LossWeight = (schedule, t) => {
    const given = weight(schedule, t);
    return given === 0 ? 0 : given * (unit(schedule, t, to) / unit(schedule, t, from));
  };
  const name = names.get(weight);
  return name === undefined ? converted : named(`${name}, ${from} to ${to}`, converted);
}

/** SNR as a weight of the data's error: 1 as one of the noise's, L_simple whatever is predicted. */
export function snrWeight(prediction: Prediction): LossWeight {
  expectPrediction("snrWeight", prediction);
  return convertWeight(
    named("1", () => 1),
    { from: "noise", to: prediction },
  );
}

/** max(SNR, 1) as a weight of the data's error (Salimans & Ho 2022, eq. 9): the larger of the data's and the noise's. */
export function truncatedSnrWeight(prediction: Prediction): LossWeight {
  expectPrediction("truncatedSnrWeight", prediction);
  return convertWeight(
    named("truncated SNR", (schedule, t) => Math.max(snrAt(schedule, t), 1)),
    { from: "data", to: prediction },
  );
}

/**
 * min(SNR, γ), as a weight of the data's error (Hang et al. 2023), turned into one of what is predicted: divided by SNR for noise,
 * by SNR + 1 for velocity. γ = 5 in the paper. Finite at ᾱ = 0.
 * @throws Error when γ is not positive
 */
export function minSnrWeight(gamma = 5, prediction: Prediction = "noise"): LossWeight {
  if (!(gamma > 0)) throw new Error(`minSnrWeight: γ is ${gamma}, want a positive number`);
  expectPrediction("minSnrWeight", prediction);
  if (prediction === "data") return named(`min SNR ${gamma}`, (schedule, t) => Math.min(snrAt(schedule, t), gamma));
  // min(SNR, γ) / SNR, where SNR may be 0.
  const ofNoise = named(`min SNR ${gamma} of noise`, (schedule, t) => {
    const snr = snrAt(schedule, t);
    return snr <= gamma ? 1 : gamma / snr;
  });
  return convertWeight(ofNoise, { from: "noise", to: prediction });
}

/** 1 / (k + SNR)^γ for predicted noise (Choi et al. 2022, P2). @throws Error unless k is positive and γ a number from 0 on */
export function p2Weight(options: { readonly k?: number; readonly gamma?: number } = {}): LossWeight {
  expectArguments("p2Weight", { options });
  const { k = 1, gamma = 1 } = options;
  if (!(k > 0 && Number.isFinite(k))) throw new Error(`p2Weight: k is ${k}, want a positive number`);
  if (!(gamma >= 0 && Number.isFinite(gamma))) throw new Error(`p2Weight: γ is ${gamma}, want a number from 0 on`);
  return named(`P2 ${k} ${gamma}`, (schedule, t) => (k + snrAt(schedule, t)) ** -gamma);
}

/** ‖Δx₀‖² / ‖Δkind‖². */
function dataError(schedule: Schedule, t: number, kind: Prediction): number {
  const [signal, noise] = [alphaBarAt(schedule, t), noiseVarianceAt(schedule, t)];
  if (kind === "data") return 1;
  if (kind === "noise") return noise / signal;
  if (kind === "velocity") return noise;
  if (kind === "flow") return noise / (Math.sqrt(signal) + Math.sqrt(noise)) ** 2;
  if (kind === "score") return noise ** 2 / signal;
  return posterior(schedule, t).fromData ** -2;
}

/** ‖Δε‖² / ‖Δkind‖², of the noise and the score. */
function noiseError(schedule: Schedule, t: number, kind: Prediction): number {
  return kind === "score" ? noiseVarianceAt(schedule, t) : 1;
}
