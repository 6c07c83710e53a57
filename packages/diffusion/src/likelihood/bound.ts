// The variational bound L = L_T + Σ L_{t−1} + L_0 on −log p(x₀): its terms, in nats of each sample.

import type { Conditioning, Times } from "@pkg/nn";
import { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type Clip, clipped } from "../forward/path.ts";
import { posterior, posteriorLogVariance } from "../forward/posterior.ts";
import type { Model } from "../model/model.ts";
import { spoilt } from "../model/modelOutput.ts";
import { convertPrediction, type Prediction } from "../model/parameterization.ts";
import { fixedSmall, type ReverseVariance, splitVariance } from "../model/variance.ts";
import { sumPerSample } from "../objective/perSample.ts";
import { expectClip } from "../optionWords.ts";
import { alphaBarAt, type Schedule } from "../schedule/schedule.ts";
import { atSteps, columnAtSteps } from "../schedule/tables.ts";
import { type Decoder, discretisedDecoder } from "./decoder.ts";
import { klOf } from "./klDivergence.ts";

/** What makes a reverse process p of a model's output. */
export interface ReverseProcess {
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** Default fixedSmall(). */
  readonly variance?: ReverseVariance;
  /** What keeps x̂₀ where data can be. */
  readonly clip?: Clip;
  /** p(x₀ | x_1). Default discretisedDecoder(), for images on 256 levels in [−1, 1]. */
  readonly decoder?: Decoder;
}

/**
 * The prior matching term L_T = KL(q(x_T | x₀) ‖ N(0, I)) of each sample, in nats: Σ ½ (ᾱ_T x₀² − ᾱ_T − log(1 − ᾱ_T)); 0 at ᾱ_T = 0.
 * It has no parameters.
 * @param x0 [batch, ...]
 * @returns [batch]
 */
export function priorTerm(schedule: Schedule, x0: Tensor): Tensor {
  expectArguments("priorTerm", { schedule, x0 });
  const alphaBar = alphaBarAt(schedule, schedule.steps - 1);
  const rest = -Math.log1p(-alphaBar) - alphaBar;
  return sumPerSample(x0.square().mul(alphaBar).add(rest).mul(0.5));
}

/**
 * The term of each sample's step t, in nats: L_{t−1} = KL(q(x_{t−1} | x_t, x₀) ‖ p(x_{t−1} | x_t)), and L_0 = −log p(x₀ | x_1) at t = 0.
 * @param known x0 and what `qSample` made of it: [batch, ...], and one step per sample, as in `qSample`
 * @param options clip: false by default, as in training
 * @returns [batch]; NaN for a sample whose prediction has an element that is NaN or infinite, whatever a clip would make of it
 */
export function boundTerms(
  model: Model,
  schedule: Schedule,
  known: { readonly x0: Tensor; readonly x: Tensor; readonly times: Times },
  options: ReverseProcess & Conditioning = {},
): Tensor {
  expectArguments("boundTerms", { model, schedule, known, options });
  const { labels, numbers, rng, ...reverse } = options;
  const { x0, x, times } = known;
  expectArguments("boundTerms", { x0, x, times });
  const output = model.forward(x, times, { labels, numbers, rng, steps: schedule.steps });
  const { prediction, raw } = splitVariance(output, reverse.variance ?? fixedSmall(), x.shape);
  return termsOf(schedule, { x0, x, times, predicted: prediction, raw }, reverse);
}

/** `boundTerms` of a model's output. @param predicted what the model says of the mean; raw of the variance */
export function termsOf(
  schedule: Schedule,
  {
    x0,
    x,
    times,
    predicted,
    raw,
  }: {
    readonly x0: Tensor;
    readonly x: Tensor;
    readonly times: Times;
    readonly predicted: Tensor;
    readonly raw?: Tensor;
  },
  { prediction = "noise", variance = fixedSmall(), clip = false, decoder = discretisedDecoder() }: ReverseProcess,
): Tensor {
  expectClip("bound", clip);
  const data = clipped(convertPrediction(schedule, predicted, { from: prediction, to: "data", x, times }), clip);
  const logVariance = variance.logVariance({ schedule, x, times, raw });
  const column = (key: string, at: (t: number) => number) => columnAtSteps(schedule, x, times, { key, at });
  // Both means have the same share of x_t, so their difference is that of the data.
  const difference = x0.sub(data).mul(column("posterior, from data", (t) => posterior(schedule, t).fromData));
  const kl = klOf(
    difference,
    column("posterior, log variance", (t) => posteriorLogVariance(schedule, t)),
    logVariance,
  );
  // The last step's mean is x̂₀.
  const reconstruction = decoder.logLikelihood(x0, { mean: data, logVariance }).neg();
  // Both are computed whatever the steps are, so that a captured step is the same for all draws.
  const steps = times instanceof Tensor ? times : atSteps(schedule, x, times, { at: (t) => t });
  const isFirst = steps.equal(0);
  const terms = isFirst.where(sumPerSample(reconstruction), sumPerSample(kl));
  return spoilt(terms, raw ? [predicted, raw] : [predicted]);
}

/** −log₂ p per dimension, of nats of the whole sample. @throws Error unless dimensions is a positive integer */
export function bitsPerDim(nats: number, dimensions: number): number {
  expectArguments("bitsPerDim", { nats });
  if (!(Number.isInteger(dimensions) && dimensions > 0))
    throw new Error(`bitsPerDim: ${dimensions} dimensions, want a positive integer`);
  return nats / (dimensions * Math.LN2);
}
