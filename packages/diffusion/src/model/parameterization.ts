// What a network may predict of noised data (ε, x₀, v, a flow's velocity, the score, the posterior mean), and the one map between all of them.

import type { Times } from "@pkg/nn";
import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { levelAt, type NoiseLevel } from "../forward/level.ts";
import { posterior } from "../forward/posterior.ts";
import { checkPredicted } from "../objective/perSample.ts";
import { expectPrediction } from "../optionWords.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { checkSteps, columnAtSteps } from "../schedule/tables.ts";

/**
 * - `noise`: ε (Ho et al. 2020)
 * - `data`: x₀, which is also Karras' denoiser D of x_t / √ᾱ_t at σ = √((1 − ᾱ_t) / ᾱ_t)
 * - `velocity`: v = √ᾱ ε − √(1 − ᾱ) x₀ (Salimans & Ho 2022), finite at both ends; where signal² + noise² is not 1,
 *   that of the variance-preserving level of the same σ, (signal ε − noise x₀) / √(signal² + noise²), which is (ε − σ x₀) / √(1 + σ²)
 * - `flow`: dx/dt = α′ x₀ + σ′ ε, the velocity of a flow: u = ε − x₀ (Lipman et al. 2023; Liu et al. 2023) where a level has no other `rates`
 * - `score`: ∇ log q(x_t | x₀) = −ε / √(1 − ᾱ)
 * - `mean`: μ̃(x₀, x_t), of the posterior of the step before (Ho et al. 2020, eq. 7)
 */
export type Prediction = "noise" | "data" | "velocity" | "flow" | "score" | "mean";

/** A prediction as a · x₀ + b · ε. */
export interface Mix {
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
 * @param options x: [batch, ...], the noised data that it was made from; times: one step per sample, a list, or an int32
 * tensor, where a step out of range gives NaN
 * @throws Error where `from` does not tell x₀ and ε apart: noise or score at ᾱ = 0 (but one of the other), data at the data; for times in
 * a tensor, where that is so at any step of the schedule; for a wrong number of times, or one out of range in a list; ShapeError for a
 * prediction that is not of x's shape
 */
export function convertPrediction(
  schedule: Schedule,
  prediction: Tensor,
  options: {
    readonly from: Prediction;
    readonly to: Prediction;
    readonly x: Tensor;
    readonly times: Times;
  },
): Tensor {
  expectArguments("convertPrediction", { schedule, prediction, options });
  const { from, to, x, times } = options;
  expectArguments("convertPrediction", { x, times });
  for (const kind of [from, to]) expectPrediction("convertPrediction", kind);
  checkPredicted("convertPrediction", prediction, x);
  checkSteps("convertPrediction", schedule, times, x, -1);
  if (from === to) return prediction;
  const combinationAt = (t: number) => {
    const level = levelAt(schedule, t);
    return combine(stepMix(schedule, level, from), stepMix(schedule, level, to), level, from);
  };
  const column = (part: keyof Combination) =>
    columnAtSteps(schedule, x, times, { key: `${from} to ${to}, ${part}`, at: (t) => combinationAt(t)[part] });
  return x.mul(column("ofX")).add(prediction.mul(column("ofPrediction")));
}

/** The same where all samples stand at one step of the schedule, whose level this is. */
export function convertAtStep(
  schedule: Schedule,
  level: NoiseLevel,
  prediction: Tensor,
  { from, to, x }: { readonly from: Prediction; readonly to: Prediction; readonly x: Tensor },
): Tensor {
  checkPredicted("convertPrediction", prediction, x);
  if (from === to) return prediction;
  return combined(
    prediction,
    x,
    isOfNoise(from) && isOfNoise(to),
    combine(stepMix(schedule, level, from), stepMix(schedule, level, to), level, from),
  );
}

/**
 * A prediction of one kind from one of another, where all samples stand at one level: x = signal · x₀ + noise · ε.
 * @throws Error where `from` does not tell x₀ and ε apart; ShapeError for a prediction that is not of x's shape
 */
export function convertAtLevel(
  level: NoiseLevel,
  prediction: Tensor,
  options: { readonly from: Exclude<Prediction, "mean">; readonly to: Exclude<Prediction, "mean">; readonly x: Tensor },
): Tensor {
  expectArguments("convertAtLevel", { level, prediction, options });
  const { from, to, x } = options;
  expectArguments("convertAtLevel", { x });
  for (const kind of [from, to]) expectPrediction("convertAtLevel", kind, false);
  checkPredicted("convertAtLevel", prediction, x);
  if (from === to) return prediction;
  return combined(
    prediction,
    x,
    isOfNoise(from) && isOfNoise(to),
    combine(levelMix(level, from), levelMix(level, to), level, from),
  );
}

/** The numbers of that sum at a level: prediction of kind `to` = ofX · x + ofPrediction · (that of kind `from`). */
export function readingAt(
  level: NoiseLevel,
  { from, to }: { readonly from: Exclude<Prediction, "mean">; readonly to: Exclude<Prediction, "mean"> },
): Combination {
  return from === to ? { ofX: 0, ofPrediction: 1 } : combine(levelMix(level, from), levelMix(level, to), level, from);
}

/**
 * √(signal² + noise²), by which signal · ε − noise · x₀ is divided to be v. It is 1 where that is within float32's rounding of 1: levels of
 * schedules preserve the variance, but their tables may be rounded.
 */
export function velocityScale({ signal, noise }: Pick<NoiseLevel, "signal" | "noise">): number {
  const size = Math.hypot(signal, noise);
  return Math.abs(size - 1) < 2 ** -23 ? 1 : size;
}

/** Whether a prediction is a multiple of ε. */
export function isOfNoise(kind: Prediction): boolean {
  return kind === "noise" || kind === "score";
}

/**
 * What a model should predict for data and noise that are known.
 * @param known data and noise: [batch, ...]; times: one step per sample, a list, or an int32 tensor, where a step out
 * of range gives NaN
 * @throws Error for a wrong number of times, or one out of range in a list
 */
export function predictionTarget(
  schedule: Schedule,
  prediction: Prediction,
  known: { readonly data: Tensor; readonly noise: Tensor; readonly times: Times },
): Tensor {
  expectArguments("predictionTarget", { schedule, known });
  expectPrediction("predictionTarget", prediction);
  const { data, noise, times } = known;
  expectArguments("predictionTarget", { data, noise, times });
  checkSteps("predictionTarget", schedule, times, data, -1);
  if (prediction === "noise") return noise;
  if (prediction === "data") return data;
  const column = (part: keyof Mix) =>
    columnAtSteps(schedule, data, times, {
      key: `${prediction}, ${part}`,
      at: (t) => stepMix(schedule, levelAt(schedule, t), prediction)[part],
    });
  return data.mul(column("data")).add(noise.mul(column("noise")));
}

/** The sum at the same numbers for all samples; without x where it has no part. */
function combined(prediction: Tensor, x: Tensor, isOfNoise: boolean, { ofX, ofPrediction }: Combination): Tensor {
  return isOfNoise ? weightedSum([prediction], [ofPrediction]) : weightedSum([x, prediction], [ofX, ofPrediction]);
}

function stepMix(schedule: Schedule, level: NoiseLevel, kind: Prediction): Mix {
  if (kind !== "mean") return levelMix(level, kind);
  const { fromData, fromNoisy } = posterior(schedule, level.t);
  return { data: fromData + fromNoisy * level.signal, noise: fromNoisy * level.noise };
}

/** The straight line's rates. */
const STRAIGHT = { signal: -1, noise: 1 };

/** A kind of prediction as a sum of x₀ and ε at a level. */
export function levelMix({ t, signal, noise, rates = STRAIGHT }: NoiseLevel, kind: Exclude<Prediction, "mean">): Mix {
  if (kind === "noise") return { data: 0, noise: 1 };
  if (kind === "data") return { data: 1, noise: 0 };
  if (kind === "flow") return { data: rates.signal, noise: rates.noise };
  if (kind === "velocity") {
    const size = velocityScale({ signal, noise });
    return { data: -noise / size, noise: signal / size };
  }
  if (kind !== "score") throw new Error(`prediction: "${kind}", want noise, data, velocity, flow, score or mean`);
  if (noise === 0) throw new Error(`prediction: a score at t = ${t}, where there is no noise: want a noisier level`);
  return { data: 0, noise: -1 / noise };
}

/** Solves x = signal · x₀ + noise · ε and the given mix for the wanted one. */
function combine(given: Mix, wanted: Mix, { t, signal, noise }: NoiseLevel, from: Prediction): Combination {
  // Noise and score tell each other without x, also where they tell nothing else.
  if (given.data === 0 && wanted.data === 0) return { ofX: 0, ofPrediction: wanted.noise / given.noise };
  const determinant = signal * given.noise - noise * given.data;
  if (determinant === 0) {
    const lost = signal === 0 ? "ᾱ is 0, says nothing of the data" : "there is no noise, says nothing of it";
    throw new Error(
      `convertPrediction: ${from} at step ${t}, where ${lost}: want velocity or ${signal === 0 ? "data" : "noise"}`,
    );
  }
  return {
    ofX: (wanted.data * given.noise - wanted.noise * given.data) / determinant,
    ofPrediction: (wanted.noise * signal - wanted.data * noise) / determinant,
  };
}
