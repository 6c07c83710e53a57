// What noise does to categories: each keeps its value with a probability, else it becomes the mask, or any of them.

import { type RandomStream, type Tensor, wrongArgument } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/** A forward process of categories: q(x_t | x₀) = α_t δ(x_t, x₀) + (1 − α_t) π(x_t), for each place by itself. */
export interface Corruption {
  /** Values of data: 0, …, vocabulary − 1. */
  readonly vocabulary: number;
  /** Values of noised data: those, and the mask where there is one. */
  readonly states: number;
  /** π, the distribution of what is noise alone: one probability for each state. */
  readonly stationary: readonly number[];
  /** The mask: the last state; there where noise masks. */
  readonly mask?: number;
}

/**
 * Noise that masks: π is all on one more state, the mask, which stays (Austin et al. 2021, D3PM, section 3.1; Sahoo et al. 2024, MDLM).
 * @param vocabulary the number of values, ≥ 1
 */
export function absorbing(vocabulary: number): Corruption {
  expectVocabulary("absorbing", vocabulary);
  const stationary = Array.from({ length: vocabulary + 1 }, (_, k) => Number(k === vocabulary));
  return { vocabulary, states: vocabulary + 1, stationary, mask: vocabulary };
}

/**
 * Noise that draws any value with the same probability (Austin et al. 2021, D3PM, section 3.1).
 * @param vocabulary the number of values, ≥ 2
 */
export function uniformCorruption(vocabulary: number): Corruption {
  expectVocabulary("uniformCorruption", vocabulary);
  return { vocabulary, states: vocabulary, stationary: new Array(vocabulary).fill(1 / vocabulary) };
}

/**
 * A draw of q(x_t | x₀).
 * @param x0 int32 [batch, ...], values below the vocabulary
 * @param keep α_t, float32 [batch], each in [0, 1]
 * @param rng draws what is kept, then, without a mask, new values
 * @returns int32 [batch, ...]
 */
export function corrupt(corruption: Corruption, x0: Tensor, keep: Tensor, rng: RandomStream): Tensor {
  expectArguments("corrupt", { corruption, x0, keep, rng });
  expectTokens("corrupt", "x0", x0);
  expectPerSample("corrupt", "keep", keep, x0);
  const { backend, shape } = x0;
  const isKept = rng.uniform(shape, { backend }).less(perSample(keep, shape.length));
  return isKept.where(x0, corruption.mask ?? rng.integers(0, corruption.vocabulary, shape, { backend }));
}

/** Numbers [batch] as [batch, 1, …], of so many axes. */
export function perSample(numbers: Tensor, axes: number): Tensor {
  return numbers.reshape([numbers.shape[0], ...new Array(axes - 1).fill(1)]);
}

/** Refuses what are no categories. @throws Error naming the argument */
export function expectTokens(name: string, argument: string, x: Tensor): void {
  if (x.dtype !== "int32" || x.rank < 1) throw wrongArgument(name, argument, x, "int32 [batch, ...]");
}

/** Refuses what is not one number for each sample of x. @throws Error naming the argument */
export function expectPerSample(name: string, argument: string, numbers: Tensor, x: Tensor): void {
  if (numbers.dtype !== "float32" || numbers.rank !== 1 || numbers.shape[0] !== x.shape[0])
    throw wrongArgument(name, argument, numbers, `float32 [${x.shape[0]}], one number per sample`);
}

function expectVocabulary(name: string, vocabulary: unknown): void {
  const least = name === "absorbing" ? 1 : 2;
  if (!(Number.isInteger(vocabulary) && Number(vocabulary) >= least))
    throw wrongArgument(name, "vocabulary", vocabulary, `an integer ≥ ${least}`);
}
