// The forward process: noising data in one jump, by one step, and along the whole chain.

import type { Times } from "@pkg/nn";
import { addNoise, type RandomStream, ShapeError, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { asColumn } from "../objective/perSample.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";
import { atSteps, checkSteps } from "../schedule/tables.ts";

/** Noise that is given: ε of x's shape, such as another program drew. Without it ε ~ N(0, I) is drawn from rng. */
export interface GivenNoise {
  /** The noise ε, of the shape of the data. Default: drawn. */
  readonly noise?: Tensor;
}

/**
 * x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε with ε ~ N(0, I), in one kernel (Ho et al. 2020, eq. 4).
 * @param x0 [batch, ...]
 * @param times one step per sample: a list of integers in [0, T), or an int32 tensor, where a step out of range gives NaN
 * @returns the noised data and the noise, both of x0's shape
 * @throws Error for a wrong number of times, one out of range in a list, and a tensor of another type or backend; ShapeError for
 * noise that is not of x0's shape
 */
export function qSample(
  schedule: Schedule,
  x0: Tensor,
  times: Times,
  rng: RandomStream,
  options: GivenNoise = {},
): { noisy: Tensor; noise: Tensor } {
  expectArguments("qSample", { schedule, x0, times, rng, options });
  checkSteps("qSample", schedule, times, x0);
  const signal = atSteps(schedule, x0, times, { key: "signal", at: (t) => Math.sqrt(alphaBarAt(schedule, t)) });
  const noise = atSteps(schedule, x0, times, { key: "noise", at: (t) => Math.sqrt(noiseVarianceAt(schedule, t)) });
  return noised("qSample", x0, { signal, noise }, rng, options);
}

/**
 * One step q(x_t | x_{t−1}): x_t = √(1 − β_t) x_{t−1} + √β_t ε (Ho et al. 2020, eq. 2).
 * @param x [batch, ...], at step t − 1 (the data for t = 0)
 * @param times the step that each sample gets to, as in `qSample`
 * @returns x_t and ε, both of x's shape
 * @throws Error and ShapeError as `qSample`
 */
export function forwardStep(
  schedule: Schedule,
  x: Tensor,
  times: Times,
  rng: RandomStream,
  options: GivenNoise = {},
): { noisy: Tensor; noise: Tensor } {
  expectArguments("forwardStep", { schedule, x, times, rng, options });
  checkSteps("forwardStep", schedule, times, x);
  const { betas } = schedule;
  const signal = atSteps(schedule, x, times, { key: "signal of a step", at: (t) => Math.sqrt(1 - betas[t]) });
  const noise = atSteps(schedule, x, times, { key: "noise of a step", at: (t) => Math.sqrt(betas[t]) });
  return noised("forwardStep", x, { signal, noise }, rng, options);
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

/**
 * signal · x + noise · ε with the given ε, or a drawn one; the same bits for the same ε.
 * @param scales [batch] each
 * @throws ShapeError for noise that is not of x's shape
 */
export function noised(
  name: string,
  x: Tensor,
  { signal, noise }: { readonly signal: Tensor; readonly noise: Tensor },
  rng: RandomStream,
  given: GivenNoise,
): { noisy: Tensor; noise: Tensor } {
  if (!given.noise) return addNoise(x, signal, noise, rng);
  checkNoise(name, given.noise, x);
  const noisy = x.mul(asColumn(x, signal)).add(given.noise.mul(asColumn(x, noise)));
  return { noisy, noise: given.noise };
}

/** @throws Error and ShapeError unless it is a tensor of x's shape, which it would broadcast to otherwise, and of x's type and backend */
export function checkNoise(name: string, noise: Tensor, x: Tensor): void {
  expectArguments(name, { noise });
  if (`${noise.shape}` !== `${x.shape}`)
    throw new ShapeError(`${name}: noise is [${noise.shape}] for x [${x.shape}], want x's shape`);
  if (noise.dtype !== x.dtype || noise.backend !== x.backend)
    throw new Error(`${name}: noise is ${noise} for x, ${x}, want x's type and backend`);
}
