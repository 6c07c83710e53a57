// Inpainting: a sampler that draws only the part of an image that is not known.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";
import type { NoiseSource, Sampler } from "../sampling/sampler.ts";
import { noisedTo } from "./noisedTo.ts";

/** What is known of the image, and how often to resample. */
export interface InpaintOptions {
  /** The known data; it broadcasts to the batch. */
  readonly image: Tensor;
  /** Where to keep it: a bool, or numbers of which 0 stands for "draw"; it broadcasts to the batch. */
  readonly keep: Tensor;
  /** Go back and down again, so that what is drawn fits what is known. Default: no. */
  readonly resample?: {
    /** Steps to go back, after every so many steps. Default 1. */
    readonly length?: number;
    /** How often each stretch is walked, from 1 on. */
    readonly times: number;
  };
}

/**
 * A sampler that after each step replaces what is known by the image at the noise of the next level (Lugmayr et al. 2022, RePaint,
 * eq. 8), and so ends at the data with the image itself there, bit for bit. With `resample` every stretch of `length` steps, but the one that
 * ends at the data, is walked `times` times: between, noise leads back to its beginning in one jump (algorithm 1 for a length of 1).
 * Jumps count as steps and call no model; what multistep methods remember ends at them.
 * @throws Error unless length and times are positive integers, or when sampling if the image does not broadcast to the batch
 */
export function inpaint(sampler: Sampler, options: InpaintOptions): Sampler {
  expectArguments("inpaint", { sampler, options });
  const { image, keep, resample } = options;
  expectArguments("inpaint", { image, keep });
  const { length = 1, times = 1 } = resample ?? {};
  for (const [name, value] of Object.entries({ length, times }))
    if (!(Number.isInteger(value) && value >= 1))
      throw new Error(`inpaint: resample.${name} is ${value}, want a positive integer`);
  const { prior } = sampler;
  const visits = visited(sampler.levels.length - 1, length, times);
  const levels = visits.map((visit) => sampler.levels[visit]);
  const isJump = (index: number) => visits[index + 1] < visits[index];
  return {
    levels,
    prior,
    step({ index, ...call }) {
      const [level, next] = [levels[index], levels[index + 1]];
      const { x, denoised, memory } = isJump(index)
        ? { x: back(call.x, level, next, call.rng), denoised: undefined, memory: [] }
        : sampler.step({ ...call, index: visits[index] });
      const kept = keep.cast("bool");
      const known = noisedTo(next, image, call.rng, x.shape);
      const pasted = kept.where(known, x);
      if (`${pasted.shape}` !== `${x.shape}`)
        throw new Error(`inpaint: image [${image.shape}], keep [${keep.shape}] for a batch [${x.shape}]`);
      // A jump estimates nothing: what is shown there is x itself, at its scale.
      const estimate = denoised ?? weightedSum([x], [1 / Math.hypot(next.signal, next.noise)]);
      return { x: pasted, denoised: kept.where(image, estimate), memory };
    },
  };
}

/** Which of the sampler's levels are visited in turn: down by one, or back to the beginning of a stretch. */
function visited(steps: number, length: number, times: number): number[] {
  const visits = [0];
  for (let end = length; end < steps; end += length) {
    const stretch = Array.from({ length }, (_, k) => end - length + 1 + k);
    for (let walk = 1; walk < times; walk++) visits.push(...stretch, end - length);
    visits.push(...stretch);
  }
  const last = visits[visits.length - 1];
  return [...visits, ...Array.from({ length: steps - last }, (_, k) => last + 1 + k)];
}

/** The forward process from one level to a noisier one: q(x_to | x_from). */
function back(x: Tensor, from: NoiseLevel, to: NoiseLevel, rng: NoiseSource): Tensor {
  const ratio = to.signal / from.signal;
  const noise = Math.sqrt(Math.max(0, to.noise ** 2 - (ratio * from.noise) ** 2));
  return weightedSum([x, rng.normal(x.shape, { backend: x.backend })], [ratio, noise]);
}
