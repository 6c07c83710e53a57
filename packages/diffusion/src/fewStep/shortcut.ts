// The objective of shortcut models: a network of time and step length, whose one step is two of its own half as long.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { concat, type RandomStream, Tensor, tidy, weightedSum } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import type { Model } from "../model/model.ts";
import { checkBatch, checkPredicted, perSample } from "../objective/perSample.ts";

/** Which steps of a shortcut model are learned, and from what. */
export interface ShortcutOptions extends Pick<Conditioning, "labels">, GivenNoise {
  /** M: the shortest step is 1 / M, the others twice as long each, up to 1. A power of two, by default 128. */
  readonly finest?: number;
  /** The share of a batch that learns steps from shorter ones; the rest learns flow matching at d = 0. In [0, 1], by default 0.25; 1/8 in the paper's code. */
  readonly share?: number;
  /** The model that takes the two half steps, such as an average of the weights, as the paper's code has it. Default: the model. */
  readonly teacher?: Model;
  /** The times t where the steps begin, one per sample, in [d, 1], instead of drawn ones. Want `lengths` too. */
  readonly times?: readonly number[];
  /** The lengths d of the steps, one per sample, from 0 (flow matching) to t. */
  readonly lengths?: readonly number[];
}

/** A step of each sample. */
interface Steps {
  readonly t: readonly number[];
  readonly d: readonly number[];
}

/**
 * E‖s(x_t, t, 0) − (ε − x₀)‖² for one part of the batch, and for the other E‖s(x_t, t, d) − sg(s₁ + s₂) / 2‖², where s₁ = s(x_t, t, d/2)
 * and s₂ = s(x_t − d/2 s₁, t − d/2, d/2) are two steps half as long (Frans et al. 2025, "One Step Diffusion via Shortcut Models", eq. 4
 * and 5). x_t = (1 − t) x₀ + t ε; the paper's time runs the other way. d is 2^−k up to 1, t a multiple of d, and the halves of the
 * shortest step are taken as flow matching has them, at d = 0.
 * @param model forward(x, t, { numbers: { d } }) → s
 * @param x0 [batch, ...], of about unit scale
 * @param rng draws times, lengths, ε, and the model's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error for options out of range, a d above its t, and times without lengths; ShapeError when the prediction or the noise is not of
 * x0's shape
 * @example
 * ```ts
 * import { finalSample, sample, shortcut, shortcutLoss } from "@pkg/diffusion";
 * import { adamW, mlp } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const [rng, backend] = [randomStream(0), cpu()];
 * const unit = { scale: 10 };
 * const config = { sizes: [1, 32, 32, 1], timeChannels: 8, timeEmbedding: unit, numbers: { d: unit } };
 * const model = mlp(config, { rng: rng.split("weights"), backend });
 * const optimizer = adamW(model, { lr: 1e-2 });
 * for (let step = 0; step < 60; step++) {
 *   const x0 = rng.normal([64, 1], { backend, mean: 2, std: 0.5 });
 *   optimizer.minimize(() => shortcutLoss(model, x0, rng));
 * }
 * const x = await finalSample(sample(shortcut({ steps: 1 }), model, [500, 1], rng));
 * console.log(Math.round(await x.mean().item())); // 2
 * ```
 */
export function shortcutLoss(model: Model, x0: Tensor, rng: RandomStream, options: ShortcutOptions = {}): Tensor {
  expectArguments("shortcutLoss", { model, x0, rng, options });
  const { labels, noise: given, teacher = model, finest = 128 } = options;
  checkBatch("shortcutLoss", x0);
  expectKind("shortcutLoss", "model", teacher, "teacher");
  if (given) checkNoise("shortcutLoss", given, x0);
  const { t, d } = drawnSteps(x0, rng, options);
  const noise = given ?? rng.normal(x0.shape, { backend: x0.backend });
  const velocity = noise.sub(x0);
  const x = x0.add(velocity.mul(perSample(x0, t)));
  const learned = d.filter((length) => length > 0).length;
  const target = tidy(() => {
    if (learned === 0) return velocity;
    // Those of a length come first, so that the teacher is asked for no others.
    const rows = (values: readonly number[]) => values.slice(0, learned);
    const of = (labelled: Conditioning["labels"]) =>
      labelled instanceof Tensor ? labelled.slice([0, learned]) : labelled?.slice(0, learned);
    const halves = twoHalves(teacher, x.slice([0, learned]), { t: rows(t), d: rows(d) }, finest, of(labels));
    return learned < d.length ? concat([halves, velocity.slice([learned, d.length])], 0) : halves;
  });
  const predicted = model.forward(x, t, { labels, numbers: { d }, rng });
  checkPredicted("shortcutLoss", predicted, x0);
  return predicted.sub(target.detach()).square().mean();
}

/** The mean velocity of two steps half as long. */
function twoHalves(teacher: Model, x: Tensor, { t, d }: Steps, finest: number, labels: Conditioning["labels"]): Tensor {
  const half = d.map((length) => length / 2);
  const numbers = { d: half.map((length) => (2 * length <= 1 / finest ? 0 : length)) };
  const first = teacher.forward(x, t, { labels, numbers });
  checkPredicted("shortcutLoss", first, x);
  const middle = x.sub(first.mul(perSample(x, half)));
  const later = t.map((time, k) => time - half[k]);
  return weightedSum([first, teacher.forward(middle, later, { labels, numbers })], [0.5, 0.5]);
}

/** The steps of a batch, those with a length first. */
function drawnSteps(x0: Tensor, rng: RandomStream, options: ShortcutOptions): Steps {
  const { finest = 128, share = 0.25, times, lengths } = options;
  if (!(finest >= 1 && Number.isInteger(Math.log2(finest))))
    throw new Error(`shortcutLoss: finest is ${finest}, want a power of two`);
  if (!(share >= 0 && share <= 1)) throw new Error(`shortcutLoss: share is ${share}, want a number in [0, 1]`);
  if (times || lengths) return checkedSteps(x0, times, lengths);
  const [batch] = x0.shape;
  const learned = Math.round(share * batch);
  const [kinds, places] = [rng.host.integers(0, Math.log2(finest) + 1, [batch]), rng.host.uniform([batch])];
  const d = Array.from(kinds, (kind, k) => (k < learned ? 2 ** -kind : 0));
  // A multiple of d in (0, 1], or anywhere in it.
  const t = d.map((length, k) =>
    length > 0 ? length * (1 + Math.min(Math.floor(places[k] / length), 1 / length - 1)) : 1 - places[k],
  );
  return { t, d };
}

function checkedSteps(x0: Tensor, times: Times | undefined, lengths: Times | undefined): Steps {
  if (!times || !lengths)
    throw new Error(`shortcutLoss: ${times ? "times without lengths" : "lengths without times"}, want both`);
  for (const [what, values] of Object.entries({ times, lengths })) {
    if (values instanceof Tensor) throw new Error(`shortcutLoss: ${what} is ${values}, want a list of numbers`);
    checkTimes("shortcutLoss", values, x0, { what });
  }
  const [t, d] = [times, lengths] as [readonly number[], readonly number[]]; // no tensors, as was just checked
  const wrong = t.findIndex((time, k) => !(time <= 1 && d[k] >= 0 && d[k] <= time));
  if (wrong !== -1)
    throw new Error(
      `shortcutLoss: lengths[${wrong}] is ${d[wrong]} and times[${wrong}] ${t[wrong]}, want 0 ≤ d ≤ t ≤ 1`,
    );
  const unsorted = d.findIndex((length, k) => k > 0 && length > 0 && d[k - 1] === 0);
  if (unsorted !== -1)
    throw new Error(`shortcutLoss: lengths[${unsorted}] is ${d[unsorted]} after a 0, want those of length 0 last`);
  return { t, d };
}
