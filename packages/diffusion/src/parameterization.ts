// What a network may predict of noised data (ε, x₀, v, the score, the posterior mean), and the one map between all of them.

import type { Tensor } from "@pkg/tensor";
import { levelAt, type NoiseLevel } from "./level.ts";
import { perSample } from "./perSample.ts";
import { posterior } from "./posterior.ts";
import type { Schedule } from "./schedule.ts";

/**
 * - `noise`: ε (Ho et al. 2020)
 * - `data`: x₀, which is also Karras' denoiser D of x_t / √ᾱ_t at σ = √((1 − ᾱ_t) / ᾱ_t)
 * - `velocity`: v = √ᾱ ε − √(1 − ᾱ) x₀ (Salimans & Ho 2022), the only one that is finite at both ends
 * - `score`: ∇ log q(x_t | x₀) = −ε / √(1 − ᾱ)
 * - `mean`: μ̃(x₀, x_t), of the posterior of the step before (Ho et al. 2020, eq. 7)
 */
export type Prediction = "noise" | "data" | "velocity" | "score" | "mean";

/** A prediction as a · x₀ + b · ε. */
interface Mix {
  readonly data: number;
  readonly noise: number;
}

/** A prediction of another kind as a sum of x and the given one. */
interface Combination {
  readonly ofX: number;
  readonly ofPrediction: number;
}

/**
 * A prediction of one kind from one of another, at each sample's step. With x_t = √ᾱ x₀ + √(1 − ᾱ) ε and a prediction that is
 * a x₀ + b ε, x₀ and ε follow, and with them every other kind.
 * @param prediction [batch, ...], of kind `from`
 * @param x [batch, ...], the noised data that it was made from
 * @param times one step a sample
 * @throws Error where `from` does not tell x₀ and ε apart: noise or score at ᾱ = 0
 */
export function convertPrediction(
  schedule: Schedule,
  prediction: Tensor,
  {
    from,
    to,
    x,
    times,
  }: { readonly from: Prediction; readonly to: Prediction; readonly x: Tensor; readonly times: readonly number[] },
): Tensor {
  if (from === to) return prediction;
  const combinations = times.map((t) => {
    const [given, wanted] = [from, to].map((kind) => stepMix(schedule, kind, t));
    return combine(given, wanted, levelAt(schedule, t), from);
  });
  const column = (of: (combination: Combination) => number) => perSample(x, combinations.map(of));
  return x.mul(column(({ ofX }) => ofX)).add(prediction.mul(column(({ ofPrediction }) => ofPrediction)));
}

/**
 * A prediction of one kind from one of another, where all samples stand at one level: x = signal · x₀ + noise · ε.
 * @throws Error where `from` does not tell x₀ and ε apart
 */
export function convertAtLevel(
  level: NoiseLevel,
  prediction: Tensor,
  {
    from,
    to,
    x,
  }: { readonly from: Exclude<Prediction, "mean">; readonly to: Exclude<Prediction, "mean">; readonly x: Tensor },
): Tensor {
  if (from === to) return prediction;
  const { ofX, ofPrediction } = combine(levelMix(level, from), levelMix(level, to), level, from);
  return x.mul(ofX).add(prediction.mul(ofPrediction));
}

/** What a model should predict for data and noise that are known. @param times one step a sample */
export function predictionTarget(
  schedule: Schedule,
  kind: Prediction,
  { data, noise, times }: { readonly data: Tensor; readonly noise: Tensor; readonly times: readonly number[] },
): Tensor {
  if (kind === "noise") return noise;
  if (kind === "data") return data;
  const mixes = times.map((t) => stepMix(schedule, kind, t));
  const column = (of: (mix: Mix) => number) => perSample(data, mixes.map(of));
  return data.mul(column((mix) => mix.data)).add(noise.mul(column((mix) => mix.noise)));
}

function stepMix(schedule: Schedule, kind: Prediction, t: number): Mix {
  const level = levelAt(schedule, t);
  if (kind !== "mean") return levelMix(level, kind);
  const { fromData, fromNoisy } = posterior(schedule, t);
  return { data: fromData + fromNoisy * level.signal, noise: fromNoisy * level.noise };
}

function levelMix({ signal, noise }: NoiseLevel, kind: Exclude<Prediction, "mean">): Mix {
  if (kind === "noise") return { data: 0, noise: 1 };
  if (kind === "data") return { data: 1, noise: 0 };
  if (kind === "velocity") return { data: -noise, noise: signal };
  return { data: 0, noise: -1 / noise };
}

/** Solves x = signal · x₀ + noise · ε and the given mix for the wanted one. */
function combine(given: Mix, wanted: Mix, { t, signal, noise }: NoiseLevel, from: Prediction): Combination {
  const determinant = signal * given.noise - noise * given.data;
  if (determinant === 0) {
    throw new Error(
      `convertPrediction: ${from} at step ${t}, where ᾱ is 0, says nothing of the data: want velocity or data`,
    );
  }
  return {
    ofX: (wanted.data * given.noise - wanted.noise * given.data) / determinant,
    ofPrediction: (wanted.noise * signal - wanted.data * noise) / determinant,
  };
}
