// Sampling by the score at one level: gradient ascent, and Langevin dynamics (unadjusted).

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import { convertAtLevel, type Prediction } from "../../model/parameterization.ts";
import type { Sampler, SamplerCall } from "../sampler.ts";

/** The steps of a walk along the score at one noise level. */
export interface ScoreWalkOptions {
  /** The number of steps. */
  readonly steps: number;
  /** τ, of x's unit squared. */
  readonly stepSize: number;
  /** Where the model is asked. Default: the data themselves, { t: 0, signal: 1, noise: 0 }. */
  readonly level?: NoiseLevel;
  /** What the model predicts. Default "score"; others need a level with noise. */
  readonly prediction?: Exclude<Prediction, "mean">;
  /** The standard deviation of what it starts from. Default 1. */
  readonly prior?: number;
}

/**
 * x′ = x + τ s(x): to the nearest mode, and always to the same one from the same start.
 * On N(m, s²) the distance to m shrinks by the factor 1 − τ/s² per step; it grows for τ > 2 s².
 * @throws Error for steps < 1 and τ ≤ 0
 */
export function gradientAscent(options: ScoreWalkOptions): Sampler {
  return walk("gradientAscent", options, (x, score) => weightedSum([x, score], [1, options.stepSize]));
}

/**
 * x′ = x + τ s(x) + √(2τ) z: Langevin dynamics, unadjusted (ULA). The papers of annealed Langevin dynamics write ½ α s + √α z, which
 * is this with τ = α / 2; their code takes τ.
 *
 * Its samples are not of p but near it: on N(m, s²) they have the variance 2τ / (1 − (1 − τ/s²)²) = s² / (1 − τ/2s²), and none that is
 * finite from τ = 2 s² on. `metropolis` has no such bias.
 * @throws Error for steps < 1 and τ ≤ 0
 */
export function langevin(options: ScoreWalkOptions): Sampler {
  return walk("langevin", options, (x, score, rng) => langevinStep(x, score, options.stepSize, rng));
}

/** x + τ s + √(2τ) z. */
export function langevinStep(x: Tensor, score: Tensor, stepSize: number, rng: SamplerCall["rng"]): Tensor {
  const noise = rng.normal(x.shape, { backend: x.backend });
  return weightedSum([x, score, noise], [1, stepSize, Math.sqrt(2 * stepSize)]);
}

/** The levels of a walk that stays at one. @throws Error for steps < 1, τ ≤ 0, a prior below 0, and what has no score */
export function stationaryLevels(name: string, options: ScoreWalkOptions): NoiseLevel[] {
  expectArguments(name, { options });
  const { steps, stepSize, level = DATA, prediction = "score", prior = 1 } = options;
  if (!(Number.isInteger(steps) && steps >= 1)) throw new Error(`${name}: ${steps} steps, want a positive integer`);
  checkStepSize(name, stepSize);
  if (!(prior >= 0 && Number.isFinite(prior))) throw new Error(`${name}: prior is ${prior}, want a number from 0 on`);
  if (level.noise === 0 && prediction !== "score")
    throw new Error(`${name}: ${prediction} at a level without noise has no score, want a score or a level with noise`);
  return new Array<NoiseLevel>(steps + 1).fill(level);
}

/** @throws Error unless τ is a positive number */
export function checkStepSize(name: string, stepSize: number): void {
  if (!(stepSize > 0 && Number.isFinite(stepSize)))
    throw new Error(`${name}: stepSize is ${stepSize}, want a positive number`);
}

/** The score that a prediction tells, and x̂₀: x itself where there is no noise. */
export function scoreAt(
  predicted: Tensor,
  x: Tensor,
  { level = DATA, prediction = "score" }: Pick<ScoreWalkOptions, "level" | "prediction">,
): { score: Tensor; denoised: Tensor } {
  const read = (to: "score" | "data") => convertAtLevel(level, predicted, { from: prediction, to, x });
  return { score: read("score"), denoised: level.noise === 0 ? x : read("data") };
}

const DATA: NoiseLevel = { t: 0, signal: 1, noise: 0 };

function walk(
  name: string,
  options: ScoreWalkOptions,
  move: (x: Tensor, score: Tensor, rng: SamplerCall["rng"]) => Tensor,
): Sampler {
  const levels = stationaryLevels(name, options);
  return {
    levels,
    prior: options.prior ?? 1,
    step({ x, index, predict, rng }) {
      const level = levels[index];
      const { score, denoised } = scoreAt(predict(x, level), x, options);
      return { x: move(x, score, rng), denoised };
    },
  };
}
