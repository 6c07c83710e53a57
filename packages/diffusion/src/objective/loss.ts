// Training objectives in discrete time: the squared error of a prediction, the variational bound, and both together.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { keep, type RandomStream, Tensor, tensor } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { type GivenNoise, qSample } from "../forward/forward.ts";
import { bitsPerDim, boundTerms, priorTerm, type ReverseProcess, termsOf } from "../likelihood/bound.ts";
import type { Model } from "../model/model.ts";
import { type Prediction, predictionTarget } from "../model/parameterization.ts";
import { learnedRange, splitVariance } from "../model/variance.ts";
import type { Schedule } from "../schedule/schedule.ts";
import { atSteps, checkSteps } from "../schedule/tables.ts";
import { type DrawnTimes, type TimestepSampler, uniformTimes } from "../schedule/timestepSampler.ts";
import { checkBatch, checkPredicted, meanPerSample, sampleSize } from "./perSample.ts";
import { type LossWeight, nameOfWeight } from "./weighting.ts";

/** What all losses over steps share. */
export interface TimedOptions extends Pick<Conditioning, "labels" | "numbers">, GivenNoise {
  /** How steps are drawn. Default: uniformly. */
  readonly timesteps?: TimestepSampler;
  /** The steps themselves, one per sample, instead of drawn ones: with `noise`, what repeats another program's step. */
  readonly times?: Times;
  /**
   * Gets each sample's step and loss, [batch] each, before the weights of the draw: their data are what a loss-aware sampler's `update`
   * takes. Dispose of both then.
   */
  readonly report?: (seen: { readonly times: Tensor; readonly losses: Tensor }) => void;
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
  /** The weight of each step in the simple loss. */
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
 * @throws Error when a weight is negative or not finite at any step that may be drawn, naming the step; for times and noise that do not
 * fit; ShapeError when the prediction or the noise is not of x0's shape
 */
export function predictionLoss(
  model: Model,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  options: LossOptions = {},
): Tensor {
  expectArguments("predictionLoss", { model, schedule, x0, rng, options });
  const { prediction = "noise", weight, labels, numbers, ...others } = options;
  const drawn = drawTimes("predictionLoss", schedule, x0, rng, others);
  const { times } = drawn;
  const weights = weight && weightsAt("predictionLoss", schedule, x0, times, weight);
  const { noisy, noise } = qSample(schedule, x0, times, rng, others);
  const predicted = model.forward(noisy, times, { labels, numbers, rng, steps: schedule.steps });
  const errors = squaredErrors(schedule, predicted, { prediction, data: x0, noise, times });
  return average(weights ? errors.mul(weights) : errors, drawn, others);
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
  options: Pick<TimedOptions, "labels" | "numbers" | "times" | "noise"> = {},
): Tensor {
  expectArguments("noisePrediction", { model, schedule, x0, rng, options });
  const { labels, numbers, times, noise } = options;
  return predictionLoss(model, schedule, x0, rng, { labels, numbers, times, noise });
}

/**
 * The variational bound L_T + Σ L_{t−1} + L_0 from one step per sample, in bits per dimension: L_T + T E_t L_t (Ho et al. 2020, eq. 5;
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
  const { labels, numbers, timesteps, times, noise, report, ...reverse } = options;
  const drawn = drawTimes("boundLoss", schedule, x0, rng, { timesteps, times, report });
  const { noisy } = qSample(schedule, x0, drawn.times, rng, { noise });
  const nats = boundTerms(model, schedule, { x0, x: noisy, times: drawn.times }, { ...reverse, labels, numbers, rng });
  const bits = nats.mul(bitsPerDim(schedule.steps, sampleSize(x0)));
  const prior = priorTerm(schedule, x0)
    .mean()
    .mul(bitsPerDim(1, sampleSize(x0)));
  return average(bits, drawn, { report }).add(prior);
}

/**
 * L_simple + λ L_vlb for a model with learned variances (Nichol & Dhariwal 2021, section 3.1): L_vlb = T E_t L_t in bits per dimension,
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
  const {
    lambda = 0.001,
    weight,
    prediction = "noise",
    variance = learnedRange(),
    labels,
    numbers,
    ...others
  } = options;
  if (!(lambda >= 0 && Number.isFinite(lambda))) {
    throw new Error(`hybridLoss: λ is ${lambda}, want a finite number from 0 on`);
  }
  if (!variance.isLearned) throw new Error("hybridLoss: the variance is fixed, want a learned one");
  const { timesteps, times: given, noise: givenNoise, report, ...reverse } = others;
  const drawn = drawTimes("hybridLoss", schedule, x0, rng, { timesteps, times: given, report });
  const { times } = drawn;
  const weights = weight && weightsAt("hybridLoss", schedule, x0, times, weight);
  const { noisy, noise } = qSample(schedule, x0, times, rng, { noise: givenNoise });
  const output = model.forward(noisy, times, { labels, numbers, rng, steps: schedule.steps });
  const { prediction: predicted, raw } = splitVariance(output, variance, x0.shape);
  const errors = squaredErrors(schedule, predicted, { prediction, data: x0, noise, times });
  const nats = termsOf(
    schedule,
    { x0, x: noisy, times, predicted: predicted.detach(), raw },
    { ...reverse, prediction, variance },
  );
  const bits = nats.mul(bitsPerDim(schedule.steps, sampleSize(x0)));
  return average((weights ? errors.mul(weights) : errors).add(bits.mul(lambda)), drawn, { report });
}

function drawTimes(
  name: string,
  schedule: Schedule,
  x0: Tensor,
  rng: RandomStream,
  { timesteps, times, report }: Pick<TimedOptions, "timesteps" | "times" | "report">,
): DrawnTimes {
  checkBatch("loss", x0);
  if (report !== undefined) expectKind(name, "weight", report, "report");
  if (times !== undefined) {
    if (timesteps) throw new Error(`${name}: both times and timesteps are given, want one of them`);
    checkSteps(name, schedule, times, x0);
    return { times };
  }
  const drawn = (timesteps ?? uniformTimes())(schedule.steps, x0.shape[0], rng, x0.backend);
  checkSteps("timesteps", schedule, drawn.times, x0);
  if (drawn.weights) checkTimes("timesteps", drawn.weights, x0, { what: "weights", dtypes: ["float32"] });
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
    readonly times: Times;
  },
): Tensor {
  checkPredicted("loss", predicted, known.data);
  return meanPerSample(predicted.sub(predictionTarget(schedule, prediction, known)).square());
}

/** [batch], the weight of each sample's step. @throws Error for one that is negative or not finite */
function weightsAt(name: string, schedule: Schedule, x0: Tensor, times: Times, weight: LossWeight): Tensor {
  const at = (t: number): number => {
    const value = weight(schedule, t);
    if (value >= 0 && Number.isFinite(value)) return value;
    throw new Error(`${name}: the weight of step ${t} is ${value}, want a finite number from 0 on`);
  };
  const key = nameOfWeight(weight);
  return atSteps(schedule, x0, times, { at, ...(key !== undefined && { key: `weight ${key}` }) });
}

/** The mean of [batch] losses with the weights of the draw. */
function average(losses: Tensor, { times, weights }: DrawnTimes, { report }: Pick<TimedOptions, "report">): Tensor {
  const { backend } = losses;
  const asTensor = (list: Times, dtype: "int32" | "float32") =>
    list instanceof Tensor ? list : tensor([...list], { backend, dtype });
  report?.({ times: keep(asTensor(times, "int32").detach()), losses: keep(losses.detach()) });
  return weights ? losses.mul(asTensor(weights, "float32")).mean() : losses.mean();
}
