// Flow matching: the squared error of the velocity that moves data to noise along an interpolant.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { keep, type RandomStream, Tensor, tensor } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { type GivenNoise, noised } from "../forward/forward.ts";
import type { Model } from "../model/model.ts";
import { levelMix, type Prediction } from "../model/parameterization.ts";
import { asColumn, checkBatch, checkPerSample, checkPredicted, meanPerSample } from "../objective/perSample.ts";
import { expectPrediction } from "../optionWords.ts";
import { type Interpolant, type InterpolantLevel, linearInterpolant } from "./interpolant.ts";
import { type TimeLaw, uniformLaw } from "./timeLaws.ts";

/** The times of flow matching, their weight, and what the model predicts. */
export interface FlowMatchingOptions extends Pick<Conditioning, "labels" | "numbers">, GivenNoise {
  /** How times are drawn. Default: `uniformLaw()`. */
  readonly law?: TimeLaw;
  /** The times themselves, one per sample: a list of numbers in [0, 1], or a float32 tensor. Default: drawn. */
  readonly times?: Times;
  /** The weight of each sample's error by its t. Default: 1 for every t. */
  readonly weight?: (t: number) => number;
  /** Default: `linearInterpolant()`. */
  readonly interpolant?: Interpolant;
  /** What the model predicts. Default "flow": dx/dt. */
  readonly prediction?: Exclude<Prediction, "mean" | "score">;
  /** Gets each sample's time and loss, [batch] each, before the weights. Dispose of both then. */
  readonly report?: (seen: { readonly times: Tensor; readonly losses: Tensor }) => void;
}

/** What a level is, as columns [batch, 1, …, 1]. */
interface Columns {
  readonly signal: Tensor;
  readonly noise: Tensor;
  /** The target's weights of x₀ and ε. */
  readonly target: { readonly data: Tensor; readonly noise: Tensor };
}

/**
 * E w(t) ‖u_θ(x_t, t) − (α′ x₀ + σ′ ε)‖² with x_t = α x₀ + σ ε, t by the law and ε ~ N(0, I): conditional flow matching (Lipman et al.
 * 2023, eq. 9; Liu et al. 2023, eq. 1). On the linear interpolant the target is ε − x₀. Papers sum over elements; this is their mean.
 * The model gets t as a float32 tensor: networks embed it by `timeEmbedding: { scale: 1000 }`.
 * @param x0 [batch, ...], of about unit scale
 * @param rng draws t, ε, and the model's dropout masks
 * @param options noise: ε of pairs that are not independent, of `optimalPairs` or `reflowPairs`
 * @returns [], the mean over batch and elements
 * @throws Error for times outside [0, 1], given or drawn, and a weight that is negative or not finite; for a tensor of times with a weight, or with an
 * interpolant that takes no tensors; ShapeError when the prediction or the noise is not of x0's shape
 * @example
 * ```ts
 * import { flowMatching } from "@pkg/diffusion";
 * import { adamW, mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const config = { sizes: [2, 32, 2], timeChannels: 8, timeEmbedding: { scale: 1000 } };
 * const model = mlp(config, { rng: rng.split("weights"), backend });
 * const optimizer = adamW(model, { lr: 1e-2 });
 * const losses: number[] = [];
 * const x0 = rng.normal([64, 2], { backend, std: 0.1 }).add(2);
 * for (let step = 0; step < 60; step++)
 *   losses.push(await optimizer.minimize(() => flowMatching(model, x0, rng)).item());
 * console.log(losses[0] > 4, losses[59] < 1); // true true
 * ```
 */
export function flowMatching(model: Model, x0: Tensor, rng: RandomStream, options: FlowMatchingOptions = {}): Tensor {
  expectArguments("flowMatching", { model, x0, rng, options });
  const { law = uniformLaw(), interpolant = linearInterpolant(), prediction = "flow", weight, report } = options;
  const { times: given, noise: givenNoise, labels, numbers } = options;
  expectArguments("flowMatching", { law, interpolant, ...(weight && { weight }) });
  if (report !== undefined) expectKind("flowMatching", "weight", report, "report");
  expectPrediction("flowMatching", prediction, false);
  checkBatch("flowMatching", x0);
  if (given && options.law) throw new Error("flowMatching: both times and law are given, want one of them");
  const { backend } = x0;
  const chosen = given ? checkGiven(given, x0) : drawnTimes(law, x0, rng);
  const { signal, noise: size, target } = columnsOf(interpolant, x0, chosen, prediction);
  const weights = weight && weightsOf(chosen, weight, x0);
  const times = chosen instanceof Tensor ? chosen : tensor(chosen, { backend });
  const { noisy, noise } = noised("flowMatching", x0, { signal, noise: size }, rng, { noise: givenNoise });
  const predicted = model.forward(noisy, times, { labels, numbers, rng });
  checkPredicted("flowMatching", predicted, x0);
  const wanted = x0.mul(target.data).add(noise.mul(target.noise));
  const losses = meanPerSample(predicted.sub(wanted).square());
  report?.({ times: keep(times.detach()), losses: keep(losses.detach()) });
  return (weights ? losses.mul(weights) : losses).mean();
}

/** @throws Error for a law that draws what is no time of each sample */
function drawnTimes(law: TimeLaw, x0: Tensor, rng: RandomStream): number[] {
  const times = Array.from(law.draw(x0.shape[0], rng));
  const wrong = times.find((t) => !(t >= 0 && t <= 1));
  if (wrong !== undefined) throw new Error(`flowMatching: the law draws ${wrong}, want numbers in [0, 1]`);
  checkPerSample("flowMatching", x0, times, "times of the law");
  return times;
}

function checkGiven(times: Times, x0: Tensor): Times {
  checkTimes("flowMatching", times, x0, { dtypes: ["float32"] });
  if (times instanceof Tensor) return times;
  const wrong = times.findIndex((t) => !(t >= 0 && t <= 1));
  if (wrong !== -1) throw new Error(`flowMatching: times[${wrong}] is ${times[wrong]}, want numbers in [0, 1]`);
  return times;
}

/** Signal and noise, [batch], and the target's weights as columns. */
function columnsOf(
  interpolant: Interpolant,
  x0: Tensor,
  times: Times,
  prediction: Exclude<Prediction, "mean" | "score">,
): Columns {
  const { backend } = x0;
  if (times instanceof Tensor) {
    if (!interpolant.tensors)
      throw new Error(`flowMatching: times is ${times} for an interpolant without tensors, want a list of numbers`);
    if (prediction !== "flow")
      throw new Error(`flowMatching: times is ${times} and prediction "${prediction}", want flow, or a list of times`);
    const { signal, noise, rates } = interpolant.tensors(times);
    return { signal, noise, target: { data: asColumn(x0, rates.signal), noise: asColumn(x0, rates.noise) } };
  }
  const levels = times.map((t) => interpolant.level(t));
  const each = (of: (level: InterpolantLevel) => number) => tensor(levels.map(of), { backend });
  return {
    signal: each(({ signal }) => signal),
    noise: each(({ noise }) => noise),
    target: {
      data: asColumn(
        x0,
        each((level) => levelMix(level, prediction).data),
      ),
      noise: asColumn(
        x0,
        each((level) => levelMix(level, prediction).noise),
      ),
    },
  };
}

/** [batch], the weight of each sample's t. @throws Error for one that is negative or not finite, and for times in a tensor */
function weightsOf(times: Times, weight: (t: number) => number, x0: Tensor): Tensor {
  if (times instanceof Tensor)
    throw new Error(`flowMatching: times is ${times} and weight a function of numbers, want a list of times`);
  const values = times.map((t) => {
    const value = weight(t);
    if (value >= 0 && Number.isFinite(value)) return value;
    throw new Error(`flowMatching: the weight of t = ${t} is ${value}, want a finite number from 0 on`);
  });
  return tensor(values, { backend: x0.backend });
}
