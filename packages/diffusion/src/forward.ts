// The forward process: noising data in one jump.

import { addNoise, type RandomStream, type Tensor, tensor } from "@pkg/tensor";
import { alphaBarAt, type Schedule } from "./schedule.ts";

/**
 * x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε with ε ~ N(0, I), in one kernel (Ho et al. 2020, eq. 4).
 * @param x0 [batch, ...]
 * @param times one step a sample, integers in [0, T)
 * @returns the noised data and the noise, both of x0's shape
 * @throws Error for a wrong number of times, or one out of range
 */
export function qSample(
  schedule: Schedule,
  x0: Tensor,
  times: readonly number[],
  rng: RandomStream,
): { noisy: Tensor; noise: Tensor } {
  if (times.length !== x0.shape[0]) {
    throw new Error(`qSample: ${times.length} times for a batch of ${x0.shape[0]}, want one a sample`);
  }
  const alphaBars = times.map((t) => alphaBarAt(schedule, t));
  const perSample = (values: number[]) => tensor(values, { backend: x0.backend });
  return addNoise(x0, perSample(alphaBars.map(Math.sqrt)), perSample(alphaBars.map((a) => Math.sqrt(1 - a))), rng);
}
