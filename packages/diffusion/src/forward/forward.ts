// The forward process: noising data in one jump, by one step, and along the whole chain.

import { addNoise, type RandomStream, type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkPerSample } from "../objective/perSample.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";

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
  expectArguments("qSample", { schedule, x0, times, rng });
  checkPerSample("qSample", x0, times);
  return noised(
    x0,
    () => times.map((t) => alphaBarAt(schedule, checkStep("qSample", t))),
    () => times.map((t) => noiseVarianceAt(schedule, t)),
    rng,
  );
}

/**
 * One step q(x_t | x_{t−1}): x_t = √(1 − β_t) x_{t−1} + √β_t ε (Ho et al. 2020, eq. 2).
 * @param x [batch, ...], at step t − 1 (the data for t = 0)
 * @param times the step that each sample gets to, integers in [0, T)
 * @returns x_t and ε, both of x's shape
 * @throws Error for a wrong number of times, or one out of range
 */
export function forwardStep(
  schedule: Schedule,
  x: Tensor,
  times: readonly number[],
  rng: RandomStream,
): { noisy: Tensor; noise: Tensor } {
  expectArguments("forwardStep", { schedule, x, times, rng });
  checkPerSample("forwardStep", x, times);
  const betas = () =>
    times.map((t) => {
      noiseVarianceAt(schedule, checkStep("forwardStep", t)); // refuses what is no step
      return schedule.betas[t];
    });
  return noised(x, () => betas().map((beta) => 1 - beta), betas, rng);
}

/**
 * The whole chain x_1 … x_T ~ q(x_{1:T} | x₀), one step after the other. Each x lives until the next is asked for (`keep` it to
 * have it longer).
 * @param x0 [batch, ...]
 */
export function* forwardChain(
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
): Generator<{ readonly t: number; readonly x: Tensor }, void, void> {
  expectArguments("forwardChain", { schedule, x0, rng });
  let x = x0;
  for (let t = 0; t < schedule.steps; t++) {
    const before = x;
    x = tidy(() => forwardStep(schedule, before, new Array<number>(x0.shape[0]).fill(t), rng).noisy);
    if (before !== x0) before.dispose();
    yield { t, x };
  }
  if (x !== x0) x.dispose();
}

function noised(
  x: Tensor,
  signalVariances: () => readonly number[],
  noiseVariances: () => readonly number[],
  rng: RandomStream,
): { noisy: Tensor; noise: Tensor } {
  const [signal, noise] = [signalVariances, noiseVariances].map((values) =>
    tensor(() => values().map(Math.sqrt), { backend: x.backend }),
  );
  return addNoise(x, signal, noise, rng);
}

/** −1 is the data, of which other functions know. */
function checkStep(name: string, t: number): number {
  if (t === -1) throw new Error(`${name}: t is −1, the data, which no step leads to: want 0 or later`);
  return t;
}
