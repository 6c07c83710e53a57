// The forward process: noising data in one jump.

import { addNoise, type RandomStream, type Tensor, tensor } from "@pkg/tensor";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "./schedule.ts";

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
  const perSample = (table: (schedule: Schedule, t: number) => number) =>
    tensor(
      times.map((t) => Math.sqrt(table(schedule, t))),
      { backend: x0.backend },
    );
  return addNoise(x0, perSample(alphaBarAt), perSample(noiseVarianceAt), rng);
}
