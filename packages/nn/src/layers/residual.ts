// The residual block of the U-Net.

import { dropout, type RandomStream, type Tensor } from "@pkg/tensor";
import { expectCount, expectInit, type InitOptions } from "../module/init.ts";
import { type Conv2d, conv2d } from "./conv.ts";
import { type Linear, linear } from "./linear.ts";
import { type GroupNorm, groupNorm } from "./norm.ts";

/**
 * (skip(r(x)) + conv2(dropout(silu(norm2(conv1(r(silu(norm1(x)))) + W e))))) · s, with e the embedding of time and class, r the resampling
 * and s the scale, none of either by default.
 */
export interface ResidualBlock {
  /** Followed by silu. */
  readonly norm1: GroupNorm;
  /** [3, 3, inChannels, outChannels]. */
  readonly conv1: Conv2d;
  /** [embeddingChannels, outChannels], or twice as many outputs for a scale and a shift. */
  readonly time: Linear;
  /** Followed by silu. */
  readonly norm2: GroupNorm;
  /** [3, 3, outChannels, outChannels], zero at the start. */
  readonly conv2: Conv2d;
  /** [1, 1, inChannels, outChannels]; absent where these are equal, and the skip is the identity. */
  readonly skip?: Conv2d;
  /**
   * Applies the block.
   * @param x [batch, height, width, inChannels]
   * @param embedded [batch, embeddingChannels], after its activation
   * @param dropoutRng draws the dropout mask; without it nothing is dropped
   * @returns [batch, height, width, outChannels]; half or twice the height and width in a block that resamples
   */
  forward(x: Tensor, embedded: Tensor, dropoutRng?: RandomStream): Tensor;
}

/** The options of a residual block. */
export interface ResidualOptions extends InitOptions {
  /** The length of the embedding of time and class. */
  readonly embeddingChannels: number;
  /** The groups of the norms. Default: as in `groupNorm`. */
  readonly groups?: number;
  /** The rate of dropout, in [0, 1). Default 0. */
  readonly dropout?: number;
  /** Whether the embedding scales and shifts the result of norm2, instead of being added before it. Default false. */
  readonly scaleShift?: boolean;
  /** Added to the variances of the norms. Default 1e-5. */
  readonly epsilon?: number;
  /** What the sum of skip and branch is multiplied by: √½ in NCSN++ (Song et al. 2021). Default 1. */
  readonly scale?: number;
  /**
   * "down" halves height and width by the mean of 2 × 2 pixels, "up" doubles them by repeating pixels, in skip and branch, between norm1
   * and conv1 (Dhariwal & Nichol 2021, section 3.1). Default: neither.
   */
  readonly resample?: "down" | "up";
}

/**
 * A residual block that starts as its skip: the last convolution is zero.
 * @throws Error for counts that are not positive integers
 */
export function residualBlock(inChannels: number, outChannels: number, options: ResidualOptions): ResidualBlock {
  expectCount("residualBlock", "inChannels", inChannels);
  expectCount("residualBlock", "outChannels", outChannels);
  expectInit("residualBlock", options);
  const {
    embeddingChannels,
    groups,
    dropout: rate = 0,
    scaleShift = false,
    epsilon,
    scale = 1,
    resample,
    ...init
  } = options;
  const resized = (x: Tensor) =>
    resample === "down" ? x.averagePool(2) : resample === "up" ? x.upsampleNearest(2) : x;
  const block: ResidualBlock = {
    norm1: groupNorm(inChannels, { ...init, groups, epsilon, activation: "silu" }),
    conv1: conv2d(inChannels, outChannels, init),
    time: linear(embeddingChannels, scaleShift ? 2 * outChannels : outChannels, init),
    norm2: groupNorm(outChannels, { ...init, groups, epsilon, activation: scaleShift ? "none" : "silu" }),
    conv2: conv2d(outChannels, outChannels, { ...init, zero: true }),
    ...(inChannels !== outChannels && { skip: conv2d(inChannels, outChannels, { ...init, kernel: 1 }) }),
    forward(x, embedded, dropoutRng) {
      const perChannel = block.time.forward(embedded).unsqueeze(1).unsqueeze(1); // [batch, 1, 1, …]
      const hidden = block.conv1.forward(resized(block.norm1.forward(x)), scaleShift ? undefined : perChannel);
      const normed = block.norm2.forward(hidden);
      const activated = scaleShift ? modulate(normed, perChannel).silu() : normed;
      const kept = rate > 0 && dropoutRng ? dropout(activated, rate, dropoutRng) : activated;
      const skipped = block.skip ? block.skip.forward(resized(x)) : resized(x);
      const sum = skipped.add(block.conv2.forward(kept));
      return scale === 1 ? sum : sum.mul(scale);
    },
  };
  return block;
}

/** x · (1 + scale) + shift, the two halves of the last axis of `perChannel`. */
function modulate(x: Tensor, perChannel: Tensor): Tensor {
  const [scale, shift] = perChannel.split(x.shape[x.rank - 1], -1);
  return x.mul(scale.add(1)).add(shift);
}
