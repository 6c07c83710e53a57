// Training for classifier-free guidance: labels are left out now and then, so that one network learns both.

import { perStep, type RandomStream } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/**
 * The labels, each replaced by null with a probability (Ho & Salimans 2022, algorithm 1: p_uncond, 0.1 to 0.2). Null has an embedding
 * of its own in `unet`: zeros in the place of a label could be a label's own value, and the network could not tell them apart.
 * @param rng one draw
 * @throws Error for a probability that is not in [0, 1]
 */
export function dropLabels(
  labels: readonly (number | null)[],
  probability: number,
  rng: RandomStream,
): (number | null)[] {
  expectArguments("dropLabels", { labels, probability, rng });
  if (!(probability >= 0 && probability <= 1))
    throw new Error(`dropLabels: probability is ${probability}, want a number in [0, 1]`);
  return perStep(() => {
    const dropped = rng.host.bernoulli(probability, [labels.length]);
    return labels.map((label, k) => (dropped[k] ? null : label));
  });
}
