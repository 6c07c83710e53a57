// The objectives of mean flows: a network of two times that predicts the mean velocity between them, so that one call is one step.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { jvp, onesLike, type RandomStream, Tensor, tensor } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import type { Model } from "../model/model.ts";
import { asColumn, checkBatch, checkPredicted } from "../objective/perSample.ts";
import { adaptivelyWeighted, checkPower } from "./adaptiveWeight.ts";

/** How the two times of a mean flow are drawn, and how its error is weighted. */
export interface MeanFlowOptions extends Pick<Conditioning, "labels">, GivenNoise {
  /** The mean of log(t / (1 − t)), of which both times are drawn normally. Default −0.4, as on ImageNet; −2 on CIFAR-10. */
  readonly mean?: number;
  /** Its standard deviation, from 0 on. Default 1; 2 on CIFAR-10. */
  readonly deviation?: number;
  /** The share of a batch with r below t; where they are equal the loss is flow matching's. In [0, 1], by default 0.25; 0.75 on CIFAR-10. */
  readonly share?: number;
  /**
   * p of the weight 1 / (‖Δ‖² + 10⁻³)^p of each sample's error Δ, from 0 on. Default 0. The paper takes 1 on ImageNet and 0.75 on
   * CIFAR-10; the loss tells little then, since it is about 1 for p = 1 however large Δ is.
   */
  readonly power?: number;
  /** The times t, one per sample, in [0, 1], instead of drawn ones. Want `ends` too. */
  readonly times?: Times;
  /** The times r, one per sample, in [0, t]. In a tensor nothing checks that: the loss of an r above t is a number without meaning. */
  readonly ends?: Times;
  /** A model of the instantaneous velocity v(z, t), such as a trained flow, to be distilled instead of ε − x₀. */
  readonly teacher?: Model;
}

/**
 * E‖u(z_t, r, t) − sg(v − (t − r) du/dt)‖² with z_t = (1 − t) x₀ + t ε, v = ε − x₀ and du/dt = v ∂_z u + ∂_t u, which is one jvp with
 * tangents (v, 0, 1) (Geng et al. 2025, "Mean Flows for One-step Generative Modeling", eq. 9 to 12). Its minimum is the mean velocity
 * u = (z_t − z_r) / (t − r) along the flow. sg stops gradients.
 *
 * The paper's networks are told t and t − r; ours get r as `numbers.r`.
 * @param model forward(z, t, { numbers: { r } }) → u. Both times are float32 tensors, which it has to be differentiable by
 * @param x0 [batch, ...], of about unit scale
 * @param rng draws times, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements; with `power` the mean of the samples' weighted sums of squares
 * @throws Error for options out of range, for lists of times out of [0, 1] or of an r above t, and times without ends;
 * ShapeError when the prediction or the noise is not of x0's shape
 * @example
 * ```ts
 * import { finalSample, meanFlow, meanFlowLoss, sample } from "@pkg/diffusion";
 * import { adamW, mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const unit = { scale: 1000 };
 * const config = { sizes: [1, 32, 32, 1], timeChannels: 8, timeEmbedding: unit, numbers: { r: unit } };
 * const model = mlp(config, { rng: rng.split("weights"), backend });
 * const optimizer = adamW(model, { lr: 1e-2 });
 * for (let step = 0; step < 60; step++) {
 *   const x0 = rng.normal([64, 1], { backend, mean: 2, std: 0.5 });
 *   optimizer.minimize(() => meanFlowLoss(model, x0, rng));
 * }
 * const x = await finalSample(sample(meanFlow({ steps: 1 }), model, [500, 1], rng));
 * console.log(Math.round(await x.mean().item())); // 2
 * ```
 */
export function meanFlowLoss(model: Model, x0: Tensor, rng: RandomStream, options: MeanFlowOptions = {}): Tensor {
  return meanFlowError("meanFlowLoss", model, x0, rng, options, false);
}

/**
 * E‖u(z_t, r, t) + (t − r) sg(du/dt) − (ε − x₀)‖² with du/dt along the network's own velocity u(z_t, t, t): a regression of ε − x₀ by a
 * function of z_t alone (Geng et al. 2025, "Improved Mean Flows", section 4.1). `meanFlowLoss` takes du/dt along ε − x₀, which z_t does
 * not tell: its loss is larger, of more variance, by what the tangent differs. The authors' code has a share of 0.5, a power of 1, and
 * takes the velocity from a second output of the network, which learns it besides.
 * @param model as in `meanFlowLoss`; it is called twice
 * @returns and throws as `meanFlowLoss`
 */
export function improvedMeanFlowLoss(
  model: Model,
  x0: Tensor,
  rng: RandomStream,
  options: MeanFlowOptions = {},
): Tensor {
  return meanFlowError("improvedMeanFlowLoss", model, x0, rng, options, true);
}

function meanFlowError(
  name: string,
  model: Model,
  x0: Tensor,
  rng: RandomStream,
  options: MeanFlowOptions,
  isAlongItself: boolean,
): Tensor {
  expectArguments(name, { model, x0, rng, options });
  const { labels, noise: given, teacher, power = 0 } = options;
  checkBatch(name, x0);
  checkPower(name, power);
  if (teacher !== undefined) expectKind(name, "model", teacher, "teacher");
  if (given) checkNoise(name, given, x0);
  const { t, r } = drawnTimes(name, x0, rng, options);
  const noise = given ?? rng.normal(x0.shape, { backend: x0.backend });
  const at = asColumn(x0, t);
  const z = x0.add(noise.sub(x0).mul(at));
  const velocity = teacher ? teacher.forward(z, t, { labels }).detach() : noise.sub(x0);
  checkPredicted(name, velocity, x0);
  const along = isAlongItself ? model.forward(z, t, { labels, numbers: { r: t } }).detach() : velocity;
  checkPredicted(name, along, x0);
  const mean = (x: Tensor, time: Tensor) => model.forward(x, time, { labels, numbers: { r }, rng });
  const { value, tangent } = jvp(mean, [z, t], [along, onesLike(t)]);
  checkPredicted(name, value, x0);
  const target = velocity.sub(asColumn(x0, t.sub(r)).mul(tangent)).detach();
  return adaptivelyWeighted(value.sub(target), power);
}

/** Both times as float32 tensors, [batch]. */
function drawnTimes(name: string, x0: Tensor, rng: RandomStream, options: MeanFlowOptions): { t: Tensor; r: Tensor } {
  const { mean = -0.4, deviation = 1, share = 0.25, times, ends } = options;
  if (!Number.isFinite(mean)) throw new Error(`${name}: mean is ${mean}, want a finite number`);
  if (!(deviation >= 0 && Number.isFinite(deviation)))
    throw new Error(`${name}: deviation is ${deviation}, want a number from 0 on`);
  if (!(share >= 0 && share <= 1)) throw new Error(`${name}: share is ${share}, want a number in [0, 1]`);
  const { backend } = x0;
  if (times || ends) {
    if (!times || !ends) throw new Error(`${name}: ${times ? "times without ends" : "ends without times"}, want both`);
    checkInterval(name, times, ends, x0);
    const made = (values: Times) => (values instanceof Tensor ? values : tensor(values, { backend }));
    return { t: made(times), r: made(ends) };
  }
  const [batch] = x0.shape;
  const drawn = Array.from(rng.host.normal([2 * batch]), (n) => 1 / (1 + Math.exp(-mean - deviation * n)));
  const t = Float32Array.from({ length: batch }, (_, k) => Math.max(drawn[k], drawn[batch + k]));
  const apart = Math.round(share * batch);
  const r = t.map((time, k) => (k < apart ? Math.min(drawn[k], drawn[batch + k]) : time));
  return { t: tensor(t, { backend }), r: tensor(r, { backend }) };
}

/** @throws Error unless both fit x, and lists hold 0 ≤ r ≤ t ≤ 1 */
function checkInterval(name: string, times: Times, ends: Times, x: Tensor): void {
  for (const [what, values] of Object.entries({ times, ends })) {
    checkTimes(name, values, x, { what, dtypes: ["float32"] });
    if (values instanceof Tensor) continue;
    const wrong = values.findIndex((time) => !(time >= 0 && time <= 1));
    if (wrong !== -1) throw new Error(`${name}: ${what}[${wrong}] is ${values[wrong]}, want a number in [0, 1]`);
  }
  if (times instanceof Tensor || ends instanceof Tensor) return;
  const above = ends.findIndex((end, k) => end > times[k]);
  if (above !== -1)
    throw new Error(
      `${name}: ends[${above}] is ${ends[above]} above times[${above}], ${times[above]}, want r of at most t`,
    );
}
