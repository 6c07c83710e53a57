// Uniform dequantisation: images on a grid as continuous data, for likelihoods that are densities.

import type { RandomStream, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { bitsPerDim } from "../likelihood/bound.ts";

/**
 * Images on 256 levels k = 0 … 255, given as k / 127.5 − 1, as continuous data (k + u) / 128 − 1 with u uniform in [0, 1)
 * (Theis et al. 2016, section 3.1). A density of it bounds the probability of the image: `dequantisedBits`.
 * @param images in [−1, 1]
 * @returns in [−1, 1], of the same shape
 */
export function dequantise(images: Tensor, rng: RandomStream, options: { readonly levels?: number } = {}): Tensor {
  expectArguments("dequantise", { images, rng, options });
  const { levels = 256 } = options;
  checkLevels("dequantise", levels);
  const half = (levels - 1) / 2;
  return images
    .affine(half, half)
    .round()
    .add(rng.uniform(images.shape, { backend: images.backend }))
    .affine(2 / levels, -1);
}

/**
 * Bits per dimension of the images, from the density of the dequantised: −log₂ p(y) / d + log₂(levels / 2), as each level is 2 / levels
 * wide there.
 * @param nats −log p(y) of a whole sample
 */
export function dequantisedBits(nats: number, dimensions: number, options: { readonly levels?: number } = {}): number {
  expectArguments("dequantisedBits", { nats, options });
  const { levels = 256 } = options;
  checkLevels("dequantisedBits", levels);
  return bitsPerDim(nats, dimensions) + Math.log2(levels / 2);
}

function checkLevels(name: string, levels: number): void {
  if (!(Number.isInteger(levels) && levels >= 2))
    throw new Error(`${name}: levels is ${levels}, want an integer from 2 on`);
}
