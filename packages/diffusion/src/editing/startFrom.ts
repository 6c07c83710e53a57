// Image to image: sampling that begins in the middle of its way, at given data with noise on it.

import { type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { NoiseSource, Sampler, SamplerState } from "../sampling/sampler.ts";
import { noisedTo } from "./noisedTo.ts";

/** How far from the data to begin. */
export type EditStart =
  /** The share of the sampler's steps to walk, in (0, 1], rounded to whole steps, at least one: 1 forgets most of the data. */
  | { readonly strength: number; readonly step?: undefined }
  /** The step to begin with: its level is where the noise brings the data. */
  | { readonly step: number; readonly strength?: undefined };

/**
 * The state from which a sampler edits: signal · x₀ + noise · ε at the level of one of its steps (Meng et al. 2022, SDEdit). Give it
 * to `sample` as `from`.
 * @param x0 [batch, ...]
 * @param rng one draw
 * @throws Error unless strength is in (0, 1], or step is one of the sampler's
 */
export function startFrom(sampler: Sampler, x0: Tensor, rng: NoiseSource, options: EditStart): SamplerState {
  expectArguments("startFrom", { sampler, x0, rng, options });
  const { strength, step } = options;
  const steps = sampler.levels.length - 1;
  if (step === undefined && !(strength > 0 && strength <= 1))
    throw new Error(`startFrom: strength is ${strength}, want a number in (0, 1]`);
  const first = step ?? steps - Math.max(1, Math.round(Number(strength) * steps));
  if (!(Number.isInteger(first) && first >= 0 && first < steps))
    throw new Error(`startFrom: step is ${first}, want an integer in [0, ${steps - 1}]`);
  return { step: first, x: tidy(() => noisedTo(sampler.levels[first], x0, rng)), memory: [] };
}
