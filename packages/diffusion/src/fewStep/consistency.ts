// Consistency training and distillation on a list of noise levels: the same output at two neighbouring levels of one trajectory.

import type { Conditioning } from "@pkg/nn";
import { type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import { checkFalling } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { checkBatch, checkPerSample, checkPredicted, perSample, sampleSize } from "../objective/perSample.ts";
import { expectWord } from "../optionWords.ts";
import { levelProbabilities } from "./discretisation.ts";
import { pseudoHuber } from "./pseudoHuber.ts";

/** Between which levels a consistency function is compared, and how. */
export interface ConsistencyLossOptions extends Pick<Conditioning, "labels">, GivenNoise {
  /** The levels, falling, at least two, the last σ_min: `karras(N, { min: 0.002, max: 80 })`, N by `discretisationSteps`. */
  readonly sigmas: readonly number[];
  /** P_mean: the mean of ln σ by which the levels are drawn. Default −1.1. */
  readonly mean?: number;
  /** P_std: its standard deviation. Default 2. */
  readonly deviation?: number;
  /** c of the pseudo-Huber distance, from 0 on. Default 0.00054 √d for d elements in a sample. */
  readonly huber?: number;
  /** The function at the lower level, such as an average of the weights. Default: the model itself, without gradients. */
  readonly target?: Model;
  /** Which level of `sigmas` each sample comes from, in [0, sigmas.length − 2], instead of drawn ones. */
  readonly indices?: readonly number[];
}

/** How the teacher goes from level to level. */
export interface ConsistencyDistillationOptions extends ConsistencyLossOptions {
  /** The solver of the step on the probability-flow ODE. Default "heun", two calls of the teacher; "euler" is one. */
  readonly solver?: "heun" | "euler";
}

/** What both objectives check and draw. */
interface Pair {
  /** σ_{n+1}, the noisier, and σ_n of each sample. */
  readonly upper: readonly number[];
  readonly lower: readonly number[];
  readonly noise: Tensor;
  /** x₀ + σ_{n+1} ε. */
  readonly x: Tensor;
}

/**
 * E λ d(f(x₀ + σ_{n+1} ε, σ_{n+1}), sg f(x₀ + σ_n ε, σ_n)) with one ε, λ = 1 / (σ_{n+1} − σ_n), the pseudo-Huber distance
 * d = √(‖Δ‖² + c²) − c, and levels drawn as a log-normal σ falls between them (Song & Dhariwal 2024, "Improved Techniques for Training
 * Consistency Models", table 1). The paper sums over elements in ‖Δ‖, and so do we.
 * @param model f: `consistencyFunction(network)`, or any denoiser with f(x, σ_min) = x.
 * @param x0 [batch, ...]
 * @param rng draws levels, ε, and the model's dropout masks
 * @returns [], the mean over the batch
 * @throws Error for fewer than two levels, ones that do not fall to a positive number, and options out of range; ShapeError when the
 * prediction or the noise is not of x0's shape
 * @example
 * ```ts
 * import { consistencyFunction, consistencyLoss, karras } from "@pkg/diffusion";
 * import { adamW, mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const network = mlp({ sizes: [1, 32, 1], timeChannels: 8, timeEmbedding: { scale: 100 } }, { rng, backend });
 * const f = consistencyFunction(network);
 * const optimizer = adamW(f, { lr: 1e-3 });
 * const x0 = rng.normal([64, 1], { backend, std: 0.5 });
 * const sigmas = karras(11, { min: 0.002, max: 80 });
 * const loss = await optimizer.minimize(() => consistencyLoss(f, x0, rng, { sigmas })).item();
 * console.log(loss > 0); // true
 * ```
 */
export function consistencyLoss(model: Model, x0: Tensor, rng: RandomStream, options: ConsistencyLossOptions): Tensor {
  const pair = drawnPair("consistencyLoss", model, x0, rng, options);
  return compared("consistencyLoss", model, pair, x0.add(pair.noise.mul(perSample(x0, pair.lower))), rng, options);
}

/**
 * The same with x at the lower level where the teacher leads from x₀ + σ_{n+1} ε, in one step of Heun's or Euler's method on the
 * probability-flow ODE (Song et al. 2023, "Consistency Models", algorithm 2).
 * @param teacher a denoiser whose times are σ and whose prediction is the data, such as `preconditioned(network)`
 * @param options and throws as `consistencyLoss`
 */
export function consistencyDistillation(
  model: Model,
  teacher: Model,
  x0: Tensor,
  rng: RandomStream,
  options: ConsistencyDistillationOptions,
): Tensor {
  expectKind("consistencyDistillation", "model", teacher, "teacher");
  const pair = drawnPair("consistencyDistillation", model, x0, rng, options);
  const { solver = "heun", labels } = options;
  expectWord("consistencyDistillation", "solver", solver, ["heun", "euler"]);
  const { x, upper, lower } = pair;
  const below = tidy(() => {
    const slopeAt = (at: Tensor, sigmas: readonly number[]) => {
      const data = teacher.forward(at, sigmas, { labels });
      checkPredicted("consistencyDistillation", data, at);
      return at.sub(data).mul(
        perSample(
          at,
          sigmas.map((sigma) => 1 / sigma),
        ),
      );
    };
    const step = perSample(
      x,
      upper.map((sigma, k) => lower[k] - sigma),
    );
    const slope = slopeAt(x, upper);
    const euler = x.add(slope.mul(step));
    return solver === "euler" ? euler : x.add(slope.add(slopeAt(euler, lower)).mul(step).mul(0.5));
  });
  return compared("consistencyDistillation", model, pair, below.detach(), rng, options);
}

function drawnPair(name: string, model: Model, x0: Tensor, rng: RandomStream, options: ConsistencyLossOptions): Pair {
  expectArguments(name, { model, x0, rng, options });
  const { mean = -1.1, deviation = 2, huber = 0, target = model, indices, noise: given } = options;
  expectKind(name, "model", target, "target");
  checkBatch(name, x0);
  const sigmas = checkFalling(name, "sigmas", options.sigmas);
  if (sigmas.length < 2) throw new Error(`${name}: sigmas has ${sigmas.length} level, want at least two`);
  if (!Number.isFinite(mean)) throw new Error(`${name}: mean is ${mean}, want a finite number`);
  if (!(deviation > 0 && Number.isFinite(deviation)))
    throw new Error(`${name}: deviation is ${deviation}, want a positive number`);
  if (!(huber >= 0 && Number.isFinite(huber))) throw new Error(`${name}: huber is ${huber}, want a number from 0 on`);
  if (given) checkNoise(name, given, x0);
  const chosen = indices ? checkedIndices(name, x0, indices, sigmas.length - 2) : undefined;
  const drawn = chosen ?? drawnIndices(x0.shape[0], rng, levelProbabilities(sigmas, { mean, deviation }));
  const noise = given ?? rng.normal(x0.shape, { backend: x0.backend });
  const upper = drawn.map((k) => sigmas[k]);
  return { upper, lower: drawn.map((k) => sigmas[k + 1]), noise, x: x0.add(noise.mul(perSample(x0, upper))) };
}

/** @param below x at the lower level, [batch, ...] */
function compared(
  name: string,
  model: Model,
  { x, upper, lower }: Pair,
  below: Tensor,
  rng: RandomStream,
  { labels, target = model, huber }: ConsistencyLossOptions,
): Tensor {
  const wanted = tidy(() => target.forward(below, lower, { labels }).detach());
  checkPredicted(name, wanted, x);
  const predicted = model.forward(x, upper, { labels, rng });
  checkPredicted(name, predicted, x);
  const distance = pseudoHuber(predicted.sub(wanted), huber ?? 0.00054 * Math.sqrt(sampleSize(x)));
  const weights = perSample(
    x,
    upper.map((sigma, k) => 1 / (sigma - lower[k])),
  ).reshape([-1]);
  return distance.mul(weights).mean();
}

function drawnIndices(batch: number, rng: RandomStream, probabilities: Float64Array): number[] {
  let sum = 0;
  const upTo = probabilities.map((p) => (sum += p));
  return Array.from(rng.host.uniform([batch]), (u) => {
    const found = upTo.findIndex((bound) => u * sum < bound);
    return found === -1 ? upTo.length - 1 : found; // rounding may make u · sum the sum
  });
}

function checkedIndices(name: string, x0: Tensor, indices: readonly number[], last: number): readonly number[] {
  checkPerSample(name, x0, indices, "indices");
  const wrong = indices.findIndex((index) => !(Number.isInteger(index) && index >= 0 && index <= last));
  if (wrong !== -1) throw new Error(`${name}: indices[${wrong}] is ${indices[wrong]}, want an integer in [0, ${last}]`);
  return indices;
}
