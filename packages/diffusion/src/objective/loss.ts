// Training objectives in discrete time: the squared error of a prediction, the variational bound, and both together.

import type { Conditioning } from "@pkg/nn";
import { keep, perStep, type RandomStream, type Tensor, tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { qSample } from "../forward/forward.ts";
import { bitsPerDim, boundTerms, priorTerm, type ReverseProcess, termsOf } from "../likelihood/bound.ts";
import type { Model } from "../model/model.ts";
import { type Prediction, predictionTarget } from "../model/parameterization.ts";
import { learnedRange, splitVariance } from "../model/variance.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { type DrawnTimes, type TimestepSampler, uniformTimes } from "../schedule/timestepSampler.ts";
import { checkBatch, checkPredicted, meanPerSample, sampleSize } from "./perSample.ts";
import type { LossWeight } from "./weighting.ts";

/** What all losses over steps share. */
export interface TimedOptions extends Pick<Conditioning, "labels"> {
  /** How steps are drawn. Default: uniformly. */
  readonly timesteps?: TimestepSampler;
  /**
   * Gets each sample's step and loss, [batch], before the weights of the draw: for a loss-aware sampler's `update`, once
   * `losses.data()` is there. Dispose of `losses` then.
   */
  readonly report?: (seen: { readonly times: readonly number[]; readonly losses: Tensor }) => void;
}

/** What the model predicts, and the weight of each step. */
export interface LossOptions extends TimedOptions {
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** The weight of each sample's error by its step. Default: 1 for every step. */
  readonly weight?: LossWeight;
}

/** The bound as a loss: clip is false by default. */
export interface BoundLossOptions extends TimedOptions, ReverseProcess {}

/** The weights of the hybrid loss. */
export interface HybridOptions extends BoundLossOptions {
  readonly weight?: LossWeight;
  /** λ, from 0 on. Default 0.001. */
  readonly lambda?: number;
}

/**
 * E w_t ‖target − model(√ᾱ_t x₀ + √(1 − ᾱ_t) ε, t)‖², t uniform over the steps, ε ~ N(0, I) (Ho et al. 2020, algorithm 1).
 * The paper sums over elements; this is their mean, as in its code.
 * @param x0 [batch, ...], of about unit scale (images in [−1, 1])
 * @param rng draws t, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error when a weight is negative or not finite, naming the step; ShapeError when the prediction is not of x0's shape
 */
export function predictionLoss(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: LossOptions = {},
): Tensor {
  expectArguments("predictionLoss", { model, schedule, x0, rng, options });
  const { prediction = "noise", weight, labels, ...others } = options;
  const drawn = drawTimes(schedule, x0, rng, others);
  const { times } = drawn;
  const weights = weight && (() => times.map((t) => checkWeight(weight(schedule, t), t)));
  const { noisy, noise } = qSample(schedule, x0, times, rng);
  const predicted = model.forward(noisy, times, { labels, rng });
  const errors = squaredErrors(schedule, predicted, { prediction, data: x0, noise, times });
  return average(weighted(errors, weights), drawn, others);
}

/**
 * L_simple = E‖ε − ε̂‖² (Ho et al. 2020, eq. 14): `predictionLoss` of the noise with equal weights.
 * @example
 * ```ts
 * import { cosine, noisePrediction } from "@pkg/diffusion";
 * import { adamW, mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const model = mlp({ sizes: [1, 32, 1], timeChannels: 8 }, { rng: rng.split("weights"), backend });
 * const schedule = cosine(100);
 * const optimizer = adamW(model, { lr: 1e-2 });
 * const x0 = rng.normal([64, 1], { backend, std: 0.1 });
 * const losses: number[] = [];
 * for (let step = 0; step < 60; step++)
 *   losses.push(await optimizer.minimize(() => noisePrediction(model, schedule, x0, rng)).item());
 * console.log(losses[0] > 0.9, losses[59] < 0.5); // true true
 * ```
 */
export function noisePrediction(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: Pick<Conditioning, "labels"> = {},
): Tensor {
  expectArguments("noisePrediction", { model, schedule, x0, rng, options });
  const { labels } = options;
  return predictionLoss(model, schedule, x0, rng, { labels });
}

/**
 * The variational bound L_T + Σ L_{t−1} + L_0 from one step a sample, in bits a dimension: L_T + T E_t L_t (Ho et al. 2020, eq. 5;
 * Nichol & Dhariwal 2021, eq. 4). Its expectation is what `nll` sums up. Losses with few steps vary: draw them with `lossAwareTimes`.
 * @param x0 [batch, ...], on the grid of the decoder
 * @returns []
 */
export function boundLoss(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: BoundLossOptions = {},
): Tensor {
  expectArguments("boundLoss", { model, schedule, x0, rng, options });
  const { labels, timesteps, report, ...reverse } = options;
  const drawn = drawTimes(schedule, x0, rng, { timesteps });
  const { noisy } = qSample(schedule, x0, drawn.times, rng);
  const nats = boundTerms(model, schedule, { x0, x: noisy, times: drawn.times }, { ...reverse, labels, rng });
  const bits = nats.mul(bitsPerDim(schedule.steps, sampleSize(x0)));
  const prior = priorTerm(schedule, x0)
    .mean()
    .mul(bitsPerDim(1, sampleSize(x0)));
  return average(bits, drawn, { report }).add(prior);
}

/**
 * L_simple + λ L_vlb for a model with learned variances (Nichol & Dhariwal 2021, section 3.1): L_vlb = T E_t L_t in bits a dimension,
 * without L_T, and with the mean held fixed, so that it trains the variances alone. λ = 0.001 is their code's T / 1000 on L_t.
 * @param x0 [batch, ...], on the grid of the decoder
 * @param options variance: learnedRange() by default
 * @returns []
 * @throws Error when λ is negative or not finite, or the variance is not learned
 */
export function hybridLoss(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: HybridOptions = {},
): Tensor {
  expectArguments("hybridLoss", { model, schedule, x0, rng, options });
  const { lambda = 0.001, weight, prediction = "noise", variance = learnedRange(), labels, ...others } = options;
  if (!(lambda >= 0 && Number.isFinite(lambda))) {
    throw new Error(`hybridLoss: λ is ${lambda}, want a finite number from 0 on`);
  }
  if (!variance.isLearned) throw new Error("hybridLoss: the variance is fixed, want a learned one");
  const { timesteps, report, ...reverse } = others;
  const drawn = drawTimes(schedule, x0, rng, { timesteps });
  const { times } = drawn;
  const weights = weight && (() => times.map((t) => checkWeight(weight(schedule, t), t)));
  const { noisy, noise } = qSample(schedule, x0, times, rng);
  const output = model.forward(noisy, times, { labels, rng });
  const { prediction: predicted, raw } = splitVariance(output, variance, x0.shape);
  const errors = squaredErrors(schedule, predicted, { prediction, data: x0, noise, times });
  const nats = termsOf(
    schedule,
    { x0, x: noisy, times, predicted: predicted.detach(), raw },
    { ...reverse, prediction, variance },
  );
  const bits = nats.mul(bitsPerDim(schedule.steps, sampleSize(x0)));
  return average(weighted(errors, weights).add(bits.mul(lambda)), drawn, { report });
}

/** Steps of one draw, values of `perStep`; `isEqual` when all weights are 1. */
interface Drawn extends DrawnTimes {
  readonly isEqual: boolean;
}

function drawTimes(
  { steps }: Schedule,
  x0: Tensor,
  rng: RandomStream,
  { timesteps = uniformTimes() }: Pick<TimedOptions, "timesteps">,
): Drawn {
  checkBatch("loss", x0);
  const [batch] = x0.shape;
  let drawn: DrawnTimes = { times: [], weights: [] };
  const times = perStep(() => {
    drawn = checkDrawn(timesteps(steps, batch, rng));
    return [...drawn.times];
  });
  const isEqual = hasEqualWeights(drawn);
  const weights = perStep(() => {
    // A captured step has one way of taking the mean.
    if (hasEqualWeights(drawn) !== isEqual) {
      throw new Error(
        `loss: the weights of the draw are ${isEqual ? "not" : "all"} 1, unlike at first, want another capture`,
      );
    }
    return [...drawn.weights];
  });
  return { times, weights, isEqual };
}

function hasEqualWeights({ weights }: DrawnTimes): boolean {
  return weights.every((weight) => weight === 1);
}

function checkDrawn(drawn: DrawnTimes): DrawnTimes {
  if (drawn.weights.length !== drawn.times.length) {
    throw new Error(`timesteps: ${drawn.weights.length} weights for ${drawn.times.length} times, want one each`);
  }
  const wrong = drawn.weights.findIndex((weight) => !Number.isFinite(weight));
  if (wrong !== -1) {
    throw new Error(`timesteps: weights[${wrong}] is ${drawn.weights[wrong]}, want finite numbers`);
  }
  return drawn;
}

/** [batch], the mean over each sample's elements. */
function squaredErrors(
  schedule: Schedule,
  predicted: Tensor,
  {
    prediction,
    ...known
  }: {
    readonly prediction: Prediction;
    readonly data: Tensor;
    readonly noise: Tensor;
    readonly times: readonly number[];
  },
): Tensor {
  checkPredicted("loss", predicted, known.data);
  return meanPerSample(predicted.sub(predictionTarget(schedule, prediction, known)).square());
}

function weighted(errors: Tensor, weights: (() => readonly number[]) | undefined): Tensor {
  return weights ? errors.mul(tensor(weights, { backend: errors.backend })) : errors;
}

/** The mean of [batch] losses with the weights of the draw. */
function average(losses: Tensor, { times, weights, isEqual }: Drawn, { report }: Pick<TimedOptions, "report">): Tensor {
  report?.({ times, losses: keep(losses.detach()) });
  return isEqual ? losses.mean() : weighted(losses, () => weights).mean();
}

function checkWeight(weight: number, t: number): number {
  if (!(weight >= 0 && Number.isFinite(weight)))
    throw new Error(`predictionLoss: the weight of step ${t} is ${weight}, want a finite number from 0 on`);
  return weight;
}
