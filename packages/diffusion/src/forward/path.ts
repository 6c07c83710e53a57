// The way from noise to data: at which levels a sampler stops, and how the model's predictions are read there.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectKind } from "../arguments.ts";
import { convertAtLevel, type Prediction } from "../model/parameterization.ts";
import type { NoiseLevel } from "./level.ts";

/** What keeps an estimate of the data where data can be: `true` for [−1, 1], as images have it, or a function. Nothing clips unasked. */
export type Clip = boolean | ((data: Tensor) => Tensor);

/** Reads something of what the model predicted for x at a level. */
type Reading = (predicted: Tensor, x: Tensor, level: NoiseLevel) => Tensor;

/** A way for a sampler to go. x is in the path's own scale throughout: signal · x₀ + noise · ε at each level. */
export interface NoisePath {
  /** From the noisiest to the one where the samples are, usually the data: one more than there are steps. */
  readonly levels: readonly NoiseLevel[];
  /** The standard deviation of what samplers start from at the first level. */
  readonly prior: number;
  /** The level at which noise / signal is σ: where solvers look between two levels. */
  at(sigma: number): NoiseLevel;
  /** x̂₀ from what the model predicted for x at a level. */
  denoise(predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor;
  /** Whether `denoise` clips, so that x̂₀ and the model's own ε̂ need not make up x. Default false. */
  readonly isClipped?: boolean;
  /**
   * ε̂ as the model predicted it, where x̂₀ is clipped too. Without it ε̂ is what is in x beside x̂₀ (`readNoise`). Code that replaces
   * `denoise` has to replace this and `score` too.
   */
  noise?(predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor;
  /** ∇ log q at a level from what the model predicted, without x̂₀: through x̂₀, digits are lost where noise is little (`readScore`). */
  score?(predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor;
}

/** How a path reads a model's prediction. */
export interface PathOptions {
  /** What the model predicts. */
  readonly prediction?: Prediction;
  /** Default false. */
  readonly clip?: Clip;
}

/** ∇ log q = (signal · x̂₀ − x) / noise² at a level: of the prediction itself, or through x̂₀ where that is clipped. */
export function readScore(path: NoisePath, predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor {
  if (path.score) return path.score(predicted, x, level);
  return convertAtLevel(level, path.denoise(predicted, x, level), { from: "data", to: "score", x });
}

/** ε̂ of the model's own prediction, or (x − signal · x̂₀) / noise on a path that does not read it. */
export function readNoise(path: NoisePath, predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor {
  if (path.noise) return path.noise(predicted, x, level);
  return weightedSum([x, path.denoise(predicted, x, level)], [1 / level.noise, -level.signal / level.noise]);
}

/** How a path reads what a model predicts at any level. */
export function levelReadings(
  prediction: Exclude<Prediction, "mean">,
  clip: Clip,
): Pick<NoisePath, "denoise" | "isClipped" | "noise" | "score"> {
  const read =
    (to: "data" | "noise"): Reading =>
    (predicted, x, level) =>
      convertAtLevel(level, predicted, { from: prediction, to, x });
  const data = read("data");
  return {
    denoise: (predicted, x, level) => clipped(data(predicted, x, level), clip),
    isClipped: clip !== false,
    noise: read("noise"),
    score: scoreReading(prediction, clip),
  };
}

/** `score` of a path on which the model predicts so; none where x̂₀ is clipped. */
export function scoreReading(prediction: Prediction, clip: Clip): Reading | undefined {
  if (clip !== false || prediction === "mean") return undefined;
  return (predicted, x, level) => convertAtLevel(level, predicted, { from: prediction, to: "score", x });
}

/** An estimate of the data, kept where data can be. */
export function clipped(data: Tensor, clip: Clip): Tensor {
  if (typeof clip === "function") return clip(data);
  return clip ? data.clamp(-1, 1) : data;
}

/** The numbers as an array, of a typed one too. @throws Error unless they are a list, each below the one before */
export function checkFalling(name: string, what: string, given: readonly number[]): readonly number[] {
  expectKind(name, "steps", given, what);
  const values = Array.from(given);
  const wrong = values.findIndex((value, k) => !(Number.isFinite(value) && (k === 0 || value < values[k - 1])));
  if (values.length === 0) throw new Error(`${name}: no ${what}, want at least one`);
  if (wrong > 0) {
    throw new Error(`${name}: ${what}[${wrong}] is ${values[wrong]} after ${values[wrong - 1]}, want falling numbers`);
  }
  if (wrong === 0 || (what === "sigmas" && !(values[values.length - 1] > 0))) {
    throw new Error(
      `${name}: ${what} has ${wrong === 0 ? values[0] : values[values.length - 1]}, want positive numbers`,
    );
  }
  return values;
}
