// The way from noise to data: at which levels a sampler stops, and how the model's predictions are read there.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { convertAtLevel, convertAtStep, type Prediction } from "../model/parameterization.ts";
import { expectClip, expectPrediction, expectWord } from "../optionWords.ts";
import { noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";
import { type Spacing, spacedTimes } from "../schedule/spacing.ts";
import { levelAt, type NoiseLevel, sigmaOf } from "./level.ts";

/** What keeps an estimate of the data where data can be: `true` for [−1, 1], as images have it, or a function. Nothing clips unasked. */
export type Clip = boolean | ((data: Tensor) => Tensor);

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
  /**
   * ∇ log q at a level from what the model predicted, where that needs no x̂₀: by way of it digits get lost where noise is little
   * (`readScore`). Whoever replaces `denoise` replaces this too.
   */
  score?(predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor;
}

export interface PathOptions {
  /** What the model predicts. */
  readonly prediction?: Prediction;
  /** Default false. */
  readonly clip?: Clip;
}

export interface DiscretePathOptions extends PathOptions {
  /** How many steps of the schedule to visit. Default: all. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /** The steps to visit instead, the noisiest first. */
  readonly times?: readonly number[];
  /** The levels to visit instead, by their σ, falling (`karras(18, …)`): between two steps the model is asked at a fraction. */
  readonly sigmas?: readonly number[];
  /** Where the last step leads: to the data (default), or to the level of step 0, as DPM-Solver's authors evaluate; no step leads
   *  from there. */
  readonly end?: "data" | "first step";
}

/**
 * The σ of a level that has no signal (ᾱ_T = 0): samplers divide by the signal. diffusers has the same, also where the step before has
 * a larger one, so that σ rises there and stochastic samplers take roots of negative variances; ours is larger then.
 */
const SILENT_SIGMA = 4096;

/**
 * The path of a schedule: x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε, started from N(0, I).
 * @param options prediction: "noise" by default
 * @throws Error for steps out of range, and times or σ that do not fall
 */
export function discretePath(schedule: Schedule, options: DiscretePathOptions = {}): NoisePath {
  expectArguments("discretePath", { schedule, options });
  const { prediction = "noise", clip = false, steps = schedule.steps, spacing, times, sigmas, end = "data" } = options;
  const table = levelsWithSignal(schedule);
  const at = (sigma: number) => between(table, sigma);
  const chosen = sigmas
    ? checkFalling("discretePath", "sigmas", sigmas).map(at)
    : checkFalling("discretePath", "times", times ?? spacedTimes(schedule.steps, steps, spacing)).map((t) => {
        if (t === -1) throw new Error("discretePath: times has −1, the data, where paths end anyway: want steps alone");
        noiseVarianceAt(schedule, t); // refuses what is no step
        return table[t];
      });
  expectPrediction("discretePath", prediction);
  expectClip("discretePath", clip);
  expectWord("discretePath", "end", end, ["data", "first step"]);
  return {
    levels: ended(chosen, end === "data" ? levelAt(schedule, -1) : table[0]),
    prior: 1,
    at,
    score: scoreReader(prediction, clip),
    denoise: (predicted, x, level) => {
      const kinds = { from: prediction, to: "data", x } as const;
      return clipped(convertAtStep(schedule, level, predicted, kinds), clip);
    },
  };
}

/**
 * A path without scaling: x = x₀ + σ ε, ended at the data (Karras et al. 2022; Song & Ermon 2019), started from N(0, σ₀² I).
 * @param sigmas falling and positive, such as `karras(18)`
 * The model gets x as it is; one that was trained on x / √(1 + σ²) scales it itself.
 * @param options prediction: "data" by default, the denoiser D(x; σ); "velocity" is (ε − σ x₀) / √(1 + σ²), as k-diffusion and diffusers
 * have it; label: what the model calls σ, by default σ itself
 */
export function sigmaPath(
  sigmas: readonly number[],
  options: {
    readonly prediction?: Exclude<Prediction, "mean">;
    readonly clip?: Clip;
    readonly label?: (sigma: number) => number;
  } = {},
): NoisePath {
  expectArguments("sigmaPath", { sigmas, options });
  const { prediction = "data", clip = false, label = (sigma) => sigma } = options;
  const at = (sigma: number): NoiseLevel => ({ t: label(sigma), signal: 1, noise: sigma });
  checkFalling("sigmaPath", "sigmas", sigmas);
  expectPrediction("sigmaPath", prediction, false);
  expectClip("sigmaPath", clip);
  return {
    levels: [...sigmas.map(at), { t: 0, signal: 1, noise: 0 }],
    prior: sigmas[0],
    at,
    score: scoreReader(prediction, clip),
    denoise: (predicted, x, level) =>
      clipped(convertAtLevel(level, predicted, { from: prediction, to: "data", x }), clip),
  };
}

/** ∇ log q = (signal · x̂₀ − x) / noise² at a level: of the prediction itself, or by way of x̂₀ where that is clipped. */
export function readScore(path: NoisePath, predicted: Tensor, x: Tensor, level: NoiseLevel): Tensor {
  if (path.score) return path.score(predicted, x, level);
  return convertAtLevel(level, path.denoise(predicted, x, level), { from: "data", to: "score", x });
}

/** `score` of a path on which the model predicts so; none where x̂₀ is clipped. */
export function scoreReader(prediction: Prediction, clip: Clip): NoisePath["score"] {
  if (clip !== false || prediction === "mean") return undefined;
  return (predicted, x, level) => convertAtLevel(level, predicted, { from: prediction, to: "score", x });
}

/** An estimate of the data, kept where data can be. */
export function clipped(data: Tensor, clip: Clip): Tensor {
  if (typeof clip === "function") return clip(data);
  return clip ? data.clamp(-1, 1) : data;
}

/** The level at a σ among those of a schedule: t is linear in log σ between two steps, and ends at the ends. */
function between(table: readonly NoiseLevel[], sigma: number): NoiseLevel {
  if (!(sigma > 0 && Number.isFinite(sigma))) throw new Error(`path: σ is ${sigma}, want a positive number`);
  const above = table.findIndex((level) => sigmaOf(level) >= sigma);
  const level = preserving(sigma);
  if (above === 0 || above === -1) return { ...level, t: above === 0 ? 0 : table.length - 1 };
  const [low, high] = [table[above - 1], table[above]].map((neighbour) => Math.log(sigmaOf(neighbour)));
  return { ...level, t: above - 1 + (Math.log(sigma) - low) / (high - low) };
}

/** Levels with the one at the end after them, unless they end there but for rounding. @throws Error when below it, or without a step */
function ended(levels: readonly NoiseLevel[], last: NoiseLevel): readonly NoiseLevel[] {
  const [before, end] = [levels[levels.length - 1], last].map(sigmaOf);
  if (before < end * (1 - 1e-9))
    throw new Error(`discretePath: σ falls to ${before}, want at least the first step's, ${end}`);
  if (before > end * (1 + 1e-9)) return [...levels, last];
  if (levels.length === 1) throw new Error("discretePath: from the first step to itself, want a step above it");
  return levels;
}

/** The level of each step, σ rising: without a signal (ᾱ = 0), where any large σ will do, at least twice that of the step before. */
function levelsWithSignal(schedule: Schedule): readonly NoiseLevel[] {
  const levels: NoiseLevel[] = [];
  for (let t = 0; t < schedule.steps; t++) {
    const level = levelAt(schedule, t);
    const least = t === 0 ? SILENT_SIGMA : Math.max(SILENT_SIGMA, 2 * sigmaOf(levels[t - 1]));
    levels.push(level.signal > 0 ? level : { ...level, ...preserving(least) });
  }
  return levels;
}

/** The signal and noise of σ where their squares add up to 1. */
function preserving(sigma: number): Pick<NoiseLevel, "signal" | "noise"> {
  const signal = 1 / Math.hypot(1, sigma);
  return { signal, noise: sigma * signal };
}

/** @throws Error unless there are numbers, each below the one before */
function checkFalling(name: string, what: string, values: readonly number[]): readonly number[] {
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
