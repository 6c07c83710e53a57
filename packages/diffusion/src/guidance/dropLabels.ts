// Training for classifier-free guidance: labels are left out now and then, so that one network learns both.

import type { Labels } from "@pkg/nn";
import { type RandomStream, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/**
 * The labels, each replaced by null with a probability (Ho & Salimans 2022, algorithm 1: p_uncond, 0.1 to 0.2). Null has an embedding
 * of its own in `unet`: zeros instead of a label could be a label's own value, and the network could not tell them apart.
 * @param rng one draw
 * @throws Error for a probability that is not in [0, 1]
 */
export function dropLabels(
  labels: readonly (number | null)[],
  probability: number,
  rng: RandomStream,
): (number | null)[];
/**
 * The same of an int32 tensor [batch], where the number of classes stands for null: the same labels for the same draw.
 * @param options classes: their number
 * @throws Error for a probability that is not in [0, 1], and without `classes`
 */
export function dropLabels(
  labels: Tensor,
  probability: number,
  rng: RandomStream,
  options: { readonly classes: number },
): Tensor;
export function dropLabels(
  labels: Labels,
  probability: number,
  rng: RandomStream,
  options: { readonly classes?: number } = {},
): Labels {
  expectArguments("dropLabels", { labels, probability, rng, options });
  if (!(probability >= 0 && probability <= 1))
    throw new Error(`dropLabels: probability is ${probability}, want a number in [0, 1]`);
  if (labels instanceof Tensor) {
    const { classes } = options;
    if (!(Number.isInteger(classes) && Number(classes) > 0))
      throw new Error(`dropLabels: labels is a tensor and classes is ${classes}, want their number`);
    return rng.bernoulli(probability, labels.shape, { backend: labels.backend }).where(Number(classes), labels);
  }
  const dropped = rng.host.bernoulli(probability, [labels.length]);
  return labels.map((label, k) => (dropped[k] ? null : label));
}
