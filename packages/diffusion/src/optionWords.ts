// What options have to be that are one of some words, or a clip: anything else would count as one of the choices.

import { wrongArgument } from "@pkg/tensor";

const PREDICTIONS = ["noise", "data", "velocity", "flow", "score", "mean"];

/** @throws Error unless it is a kind of prediction; "mean" is none where levels are no schedule's steps */
export function expectPrediction(name: string, prediction: unknown, ofSteps = true): void {
  expectWord(name, "prediction", prediction, ofSteps ? PREDICTIONS : PREDICTIONS.slice(0, -1));
}

/** @throws Error unless an option is one of the words that it may be */
export function expectWord(name: string, option: string, value: unknown, words: readonly string[]): void {
  if (words.includes(value as string)) return;
  const last = words.length - 1;
  throw wrongArgument(name, option, value, `${words.slice(0, last).join(", ")} or ${words[last]}`);
}

/** @throws Error unless a clip is a Boolean or a function: a range, or a number, would count as [−1, 1] */
export function expectClip(name: string, clip: unknown): void {
  if (typeof clip === "boolean" || typeof clip === "function") return;
  throw wrongArgument(name, "clip", clip, "true for [−1, 1], false, or a function: (x) => x.clamp(low, high)");
}
