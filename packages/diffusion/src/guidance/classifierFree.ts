// Classifier-free guidance: one network, asked with the label and without it, and taken further along the difference.

import type { Times } from "@pkg/nn";
import { concat, Tensor, tidy, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { asColumn, perSample } from "../objective/perSample.ts";
import { bothBranches, labelsOf, nullLabels } from "./branches.ts";

/** How far to go along the difference that the label makes, in one of two conventions: scale = 1 + weight. */
export type GuidanceStrength =
  /** s of ε_u + s (ε_c − ε_u), as libraries have it: 0 unconditional, 1 conditional, more is guidance; below 0 away from the label. */
  | { readonly scale: number; readonly weight?: undefined }
  /** w of (1 + w) ε_c − w ε_u, as the paper has it: −1 unconditional, 0 conditional, more is guidance. */
  | { readonly weight: number; readonly scale?: undefined };

/** The options of classifier-free guidance: its strength, and where it applies. */
export type ClassifierFreeOptions = GuidanceStrength & {
  /** φ in [0, 1]: how much of the way back to the conditional prediction's standard deviation (Lin et al. 2024, who take 0.7). Default 0. */
  readonly rescale?: number;
  /** Guide at times in [from, to] only, as the model knows them (σ where times are σ): elsewhere the conditional prediction stands. */
  readonly interval?: readonly [from: number, to: number];
  /** The number of classes, which stands for no label in a tensor of labels. */
  readonly classes?: number;
};

/**
 * A model that predicts (1 + w) ε(x_t, y) − w ε(x_t, ∅) with w = scale − 1 (Ho & Salimans 2022, eq. 6), y being the labels of the
 * call and ∅ the model's null label. Kinds of prediction that are affine in each other for given x (noise, data, velocity, score,
 * mean) are guided to the same result. One call of the model with twice the batch; one with the batch itself where only one of the
 * two is needed (scale 0 or 1, outside of the interval). Channels of learned variances are the conditional ones.
 *
 * Strong guidance drives x̂₀ out of range. Where it is clipped ε̂ has to follow it, as it does in all samplers, but in `ddim` with
 * `rederiveNoise: false`: the ε̂ of an x̂₀ that was cut off points away from the label, and DDIM ends elsewhere.
 *
 * Rescaled, the guided prediction g becomes g (1 + φ (std(ε_c) / std(g) − 1)), standard deviations over all axes but the batch.
 * A limited interval is that of Kynkäänniemi et al. 2024, who give it in σ; for the steps of a schedule, `path.at(sigma).t` tells it.
 * @throws Error unless exactly one of scale and weight is given and all numbers are finite; from forward for a call without labels,
 * or with too few or many
 * @example
 * ```ts
 * import { classifierFree } from "@pkg/diffusion";
 * import { mlp } from "@pkg/nn";
 * import { cpu, randomStream, zeros } from "@pkg/tensor";
 *
 * const [backend, rng] = [cpu(), randomStream(0)];
 * const model = mlp({ sizes: [1, 8, 1], classes: 10 }, { rng, backend });
 * const guided = classifierFree(model, { scale: 3 });
 * const ask = (of: typeof guided, label: number | null) =>
 *   of.forward(zeros([1, 1], { backend }), [0], { labels: [label] }).item();
 * const [none, seven, strong] = [await ask(model, null), await ask(model, 7), await ask(guided, 7)];
 * console.log(Math.abs(strong - (none + 3 * (seven - none))) < 1e-6); // true
 * ```
 */
export function classifierFree(model: Model, options: ClassifierFreeOptions): Model {
  expectArguments("classifierFree", { model, options });
  const { scale, weight, rescale = 0, interval } = options;
  const extra = checkStrength(scale, weight);
  if (!(rescale >= 0 && rescale <= 1)) throw new Error(`classifierFree: rescale is ${rescale}, want it in [0, 1]`);
  const [from, to] = interval ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  if (!(from <= to)) throw new Error(`classifierFree: interval is [${from}, ${to}], want rising times`);
  const isWithin = (t: number) => t >= from && t <= to;
  const extras = (x: Tensor, times: Times): Tensor => {
    if (!(times instanceof Tensor))
      return perSample(
        x,
        times.map((t) => (isWithin(t) ? extra : 0)),
      );
    const steps = times.cast("float32");
    return asColumn(x, steps.less(from).logicalOr(steps.greater(to)).where(0, extra));
  };
  const guided: Model & { readonly model: Model } = {
    model, // a field, so that its parameters are found
    forward(x, times, conditioning = {}) {
      const labels = labelsOf("classifierFree", x, times, conditioning);
      // Times of a list decide here what is computed, where there is an interval; those of a tensor decide on the device.
      const isInside =
        times instanceof Tensor || !interval ? [true, ...(interval ? [false] : [])] : times.map(isWithin);
      if (extra === 0 || !isInside.includes(true)) return model.forward(x, times, conditioning);
      if (extra === -1 && !isInside.includes(false))
        return model.forward(x, times, {
          ...conditioning,
          labels: nullLabels("classifierFree", x, labels, options.classes),
        });
      return tidy(() => {
        const both = bothBranches("classifierFree", model, x, times, conditioning, options.classes);
        const { conditional: prediction, unconditional, raw } = both;
        const difference = prediction.sub(unconditional);
        const further = isInside.includes(false)
          ? prediction.add(difference.mul(extras(x, times)))
          : weightedSum([prediction, difference], [1, extra]);
        const result = rescale === 0 ? further : further.mul(towardsSpread(prediction, further, rescale));
        return raw ? concat([result, raw], -1) : result;
      });
    },
  };
  return guided;
}

/** 1 + φ (std(conditional) / std(guided) − 1) of each sample; 1 where the guided one does not vary. */
function towardsSpread(conditional: Tensor, guided: Tensor, share: number): Tensor {
  const [wanted, found] = [conditional, guided].map((prediction) => {
    const axes = prediction.shape.slice(1).map((_, k) => k + 1);
    return prediction.sub(prediction.mean(axes, { keepAxes: true })).norm(axes, { keepAxes: true });
  });
  const isFlat = found.equal(0);
  const ratio = isFlat.where(1, wanted.div(isFlat.where(1, found)));
  return ratio.sub(1).mul(share).add(1);
}

/** w. */
function checkStrength(scale: number | undefined, weight: number | undefined): number {
  if ((scale === undefined) === (weight === undefined)) {
    const given = scale === undefined ? "neither scale nor weight" : `scale ${scale} and weight ${weight}`;
    throw new Error(`classifierFree: ${given}, want one of them (scale = 1 + weight)`);
  }
  const [name, value] = scale === undefined ? ["weight", weight] : ["scale", scale];
  if (!Number.isFinite(value)) throw new Error(`classifierFree: ${name} is ${value}, want a finite number`);
  return scale === undefined ? Number(weight) : scale - 1;
}
