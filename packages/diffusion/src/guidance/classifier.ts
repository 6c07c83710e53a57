// Classifier guidance: a second network's ∇ log p(y | x_t) moves what a model predicts, or the mean of an ancestral step.

import { checkLabels, checkTimes, type Labels, type Times } from "@pkg/nn";
import { concat, grad, Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { levelAt, type NoiseLevel } from "../forward/level.ts";
import { posterior } from "../forward/posterior.ts";
import type { Model } from "../model/model.ts";
import { levelMix, type Prediction, velocityScale } from "../model/parameterization.ts";
import { perSample } from "../objective/perSample.ts";
import { expectPrediction, expectWord } from "../optionWords.ts";
import type { MeanShift } from "../sampling/walks/ancestralWalk.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { checkSteps, columnAtSteps } from "../schedule/tables.ts";
import { predictedPart } from "./predictedPart.ts";

/**
 * log p(y | x_t) of a classifier that was trained on noised data, up to a constant in x: for one with logits,
 * `crossEntropy(logits, labels, { reduction: "none" }).neg()`.
 * @param x [batch, ...]
 * @param times one per sample
 * @param labels one per sample
 * @returns [batch]
 */
export type LogProbability = (x: Tensor, times: Times, labels: Tensor | readonly number[]) => Tensor;

/** The options of classifier guidance. */
export interface ClassifierGuidanceOptions {
  /**
   * Where the model's times stand: its schedule, or what tells the level of a time: `path.at` for times that are σ,
   * `(t) => sde.level(t / 999)` for those of a variance-preserving SDE, `interpolant.level` for those of a flow.
   */
  readonly levels: Schedule | ((t: number) => NoiseLevel);
  /** γ, of any sign. Default 1: the conditional distribution itself. */
  readonly scale?: number;
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** Whether the model gets the labels too. Default false: the labels are the classifier's alone. */
  readonly conditional?: boolean;
}

/**
 * A model whose score is ∇ log p(x_t) + γ ∇ log p(y | x_t): for predicted noise ε̂ − γ √(1 − ᾱ_t) ∇ log p(y | x_t) (Dhariwal & Nichol
 * 2021, algorithm 2), and for every other kind what that makes of it. Labels are those of the call. Estimates of x₀ are clipped
 * after it, by the sampler. Channels of learned variances stay as they are.
 * @throws Error for a scale that is not finite; from forward for a call without labels or with null among them, and where ᾱ is 0
 * unless noise or the score is predicted
 */
export function classifierGuidance(
  model: Model,
  logProbability: LogProbability,
  options: ClassifierGuidanceOptions,
): Model {
  expectArguments("classifierGuidance", { model, logProbability, options });
  const { levels, scale = 1, prediction: kind = "noise", conditional = false } = options;
  expectArguments("classifierGuidance", { levels });
  checkScale("classifierGuidance", scale);
  expectPrediction("classifierGuidance", kind);
  if (kind === "mean" && typeof levels === "function")
    throw new Error("classifierGuidance: levels is a function, want a schedule, which predictions of the mean need");
  const changesOf = (x: Tensor, times: Times): Tensor => {
    const at = (t: number) => scale * changePerScore(levels, kind, t);
    if (!(times instanceof Tensor)) return perSample(x, times.map(at));
    if (typeof levels === "function")
      throw new Error(
        `classifierGuidance: times is ${times} and levels a function, want a list, or a schedule as levels`,
      );
    checkSteps("classifierGuidance", levels, times, x);
    return columnAtSteps(levels, x, times, { at });
  };
  const guided: Model & { readonly model: Model } = {
    model, // a field, so that its parameters are found
    forward: (x, times, conditioning = {}) =>
      tidy(() => {
        const { labels, ...rest } = conditioning;
        const wanted = classesOf("classifierGuidance", labels, x);
        checkTimes("classifierGuidance", times, x);
        const { prediction, raw } = predictedPart(model.forward(x, times, conditional ? conditioning : rest), x);
        const changes = changesOf(x, times);
        const moved = prediction.add(gradient(logProbability, x, times, wanted).mul(changes));
        return raw ? concat([moved, raw], -1) : moved;
      }),
  };
  return guided;
}

/**
 * γ Σ ∇ log p(y | ·), added to the mean of each step of `ancestral` (Dhariwal & Nichol 2021, algorithm 1). Σ is the
 * sampler's variance: by default it is next to nothing in the step to the data, which is not guided then.
 * @param options `at`: where the gradient is taken. "x" (default): at x_t with its time, as the algorithm and OpenAI's code have it.
 * "mean": at μ with the time of the level that the step leads to, the point around which the paper's derivation expands (the time
 * of x_t in the last step, since classifiers know none of clean data)
 * @throws Error for a scale that is not finite; in sampling for missing or null labels
 */
export function classifierShift(
  logProbability: LogProbability,
  options: { readonly scale?: number; readonly at?: "x" | "mean" } = {},
): MeanShift {
  expectArguments("classifierShift", { logProbability, options });
  const { scale = 1, at = "x" } = options;
  checkScale("classifierShift", scale);
  expectWord("classifierShift", "at", at, ["x", "mean"]);
  return ({ x, level, next, mean, variance, labels }) => {
    const place = at === "x" ? x : mean;
    const { t } = at === "x" || next.noise === 0 ? level : next;
    const times = new Array<number>(x.shape[0]).fill(t);
    const wanted = classesOf("classifierShift", labels, x);
    return gradient(logProbability, place, times, wanted).mul(variance).mul(scale);
  };
}

/** ∇ Σ log p: samples are independent, so that each gets its own gradient. */
function gradient(logProbability: LogProbability, x: Tensor, times: Times, labels: Tensor | readonly number[]): Tensor {
  const total = (place: Tensor): Tensor => {
    const each = logProbability(place, times, labels);
    if (`${each.shape}` !== `${[x.shape[0]]}`)
      throw new Error(`classifier guidance: log p has shape [${each.shape}], want [${x.shape[0]}], one per sample`);
    return each.sum();
  };
  return grad(total, [x])[0];
}

/** How much a prediction changes when the score does, x kept: ε by −noise, x₀ by noise² / signal, and the others with these. */
function changePerScore(levels: ClassifierGuidanceOptions["levels"], kind: Prediction, t: number): number {
  const level = typeof levels === "function" ? levels(t) : levelAt(levels, t);
  const { signal, noise } = level;
  if (kind === "score") return 1;
  if (kind === "noise") return -noise;
  if (signal === 0)
    throw new Error(`classifierGuidance: ${kind} at t = ${t}, where ᾱ is 0, want noise or score predicted there`);
  const ofData = noise ** 2 / signal;
  if (kind === "velocity") return (-noise * (signal + ofData)) / velocityScale({ signal, noise });
  if (kind === "flow") {
    const mix = levelMix(level, kind);
    return mix.data * ofData - mix.noise * noise;
  }
  return kind === "mean" && typeof levels !== "function" ? posterior(levels, t).fromData * ofData : ofData;
}

function checkScale(name: string, scale: number): void {
  if (!Number.isFinite(scale)) throw new Error(`${name}: scale is ${scale}, want a finite number`);
}

/** The labels, a copy of a list. @throws Error for none, and for null in a list */
function classesOf(name: string, labels: Labels | undefined, x: Tensor): Tensor | readonly number[] {
  if (!labels) throw new Error(`${name}: no labels in the call, want one per sample`);
  checkLabels(name, labels, x);
  if (labels instanceof Tensor) return labels;
  const none = labels.indexOf(null);
  if (none !== -1) throw new Error(`${name}: the label of sample ${none} is null, want a class`);
  return [...labels] as readonly number[]; // none is null
}
