// The diffusion transformer with adaptive norms that start at zero (Peebles & Xie 2023) from a configuration.

import { checkpoint, dropout, region, type Tensor, tidy, wrongArgument } from "@pkg/tensor";
import { type FeedForward, feedForward, type SwiGlu, swiGlu } from "../layers/feedForward.ts";
import { type LayerNorm, layerNorm } from "../layers/layerNorm.ts";
import { type Linear, linear } from "../layers/linear.ts";
import { type AttentionCall, type MultiheadAttention, multiheadAttention } from "../layers/multiheadAttention.ts";
import { patchGrid, patchify, unpatchify } from "../layers/patches.ts";
import { sinCosPositions } from "../layers/positions.ts";
import { expectConfig, expectInit, type InitOptions } from "../module/init.ts";
import { leavesOf } from "../module/leaves.ts";
import { edge } from "../module/parameters.ts";
import { type Conditioning, checkIdentityAttention } from "./conditioning.ts";
import {
  checkCounts,
  checkEmbedded,
  checkImageCall,
  type EmbeddedConfig,
  type EmbeddedMaps,
  embedded,
  embeddedMaps,
} from "./embedded.ts";
import type { Times } from "./times.ts";

/** Plain data, as checkpoints store it. */
export interface DitConfig extends EmbeddedConfig {
  /** Channels of the images. */
  readonly inChannels: number;
  /** Default: inChannels; twice as many to learn variances too. */
  readonly outChannels?: number;
  /** The side of a patch; it divides the images' height and width. */
  readonly patch: number;
  /** Channels of a token. */
  readonly channels: number;
  /** Blocks, one after another. */
  readonly depth: number;
  /** Heads of the attention; they divide `channels`. */
  readonly heads: number;
  /** Channels between the two maps of a block's feed-forward part. Default: 4 · channels, and 8/3 · channels of "swiGlu". */
  readonly hidden?: number;
  /** "gelu" (the default, with a tanh, as in the paper), or "swiGlu". */
  readonly feedForward?: "gelu" | "swiGlu";
  /**
   * "sinCos" (the default) adds fixed positions to the tokens. "rotary" turns queries and keys by row and column instead, for which
   * channels / heads is a multiple of 4.
   */
  readonly positions?: "sinCos" | "rotary";
  /** Whether queries and keys are normalised. Default false. */
  readonly qkNorm?: boolean;
  /** Sines and cosines of the time's embedding. Default 256. */
  readonly timeChannels?: number;
  /** The rate at which each branch's result is dropped in training. Default 0. */
  readonly dropout?: number;
  /**
   * Whether training keeps the input of each block alone, and computes the rest again in the backward pass (`checkpoint`): less memory, more
   * time, the same state and bits. Default false.
   */
  readonly checkpoint?: boolean;
}

/** x + γ₁ attention(n₁), then x + γ₂ feedForward(n₂), where n = norm(x) (1 + β) + α; α, β, γ come from time and class. */
export interface DitBlock {
  /** Without weights. */
  readonly norm: LayerNorm;
  /** Of all tokens of an image to each other. */
  readonly attention: MultiheadAttention;
  /** Of each token by itself. */
  readonly feedForward: FeedForward | SwiGlu;
  /** [channels, 6 · channels], zero at the start: α₁, β₁, γ₁, α₂, β₂, γ₂. */
  readonly modulation: Linear;
}

/** A diffusion transformer; its fields are its state. */
export interface Dit extends EmbeddedMaps {
  /** From patches to tokens, [patch · patch · inChannels, channels]. */
  readonly input: Linear;
  /** One after another. */
  readonly blocks: readonly DitBlock[];
  /** Without weights. */
  readonly norm: LayerNorm;
  /** [channels, 2 · channels], zero at the start: shift and scale of the last norm. */
  readonly modulation: Linear;
  /** From tokens to patches, [channels, patch · patch · outChannels], zero at the start. */
  readonly output: Linear;
  /**
   * Applies the network.
   * @param x [batch, height, width, inChannels], any height and width that the patches divide
   * @param times one per sample, on the scale of 0 … 1000 unless `timeEmbedding` has another
   * @returns [batch, height, width, outChannels]
   * @throws ShapeError when patches do not divide the images; Error for times, labels or numbers of another number, and tensors of
   * them of another shape, type or backend; for labels without classes; and for numbers that are missing or not configured
   */
  forward(x: Tensor, times: Times, conditioning?: Conditioning): Tensor;
}

/**
 * A diffusion transformer, DiT with adaLN-zero (Peebles & Xie 2023, arXiv:2212.09748, section 3.2), with weights drawn from `rng`. Every
 * block starts as the identity, and its output at zero. Maps are drawn as all of this package are; the paper's code draws Xavier's.
 *
 * With the prediction "data", large patches, SwiGLU, QK norm and rotary positions it is near JiT (Li & He 2025, arXiv:2511.13720), which
 * besides has norms by the root mean square, two maps with few channels between them for the patches, sine-cosine positions too, and
 * tokens of the class.
 * @throws Error naming the field when the configuration is impossible
 * @example
 * ```ts
 * import { dit, parameterCount } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const rng = randomStream(0);
 * const backend = cpu();
 * const model = dit({ inChannels: 1, patch: 4, channels: 32, depth: 2, heads: 4, classes: 10 }, { rng, backend });
 * const x = rng.normal([2, 28, 28, 1], { backend }); // two images of 7 × 7 patches
 * const noise = model.forward(x, [10, 500], { labels: [7, null] }); // a seven, and any digit
 * console.log(noise.shape); // [2, 28, 28, 1]
 * console.log(parameterCount(model)); // 50640
 * ```
 */
export function dit(config: DitConfig, init: InitOptions): Dit {
  expectConfig("dit", config);
  expectInit("dit", init);
  checkConfig(config);
  const { inChannels, outChannels = inChannels, patch, channels, depth, heads, hidden, qkNorm } = config;
  const norm = () => layerNorm(channels, { epsilon: 1e-6, affine: false, backend: init.backend });
  const block = (): DitBlock => ({
    norm: norm(),
    attention: multiheadAttention(channels, { ...init, heads, qkNorm }),
    feedForward:
      config.feedForward === "swiGlu"
        ? swiGlu(channels, { ...init, hidden })
        : feedForward(channels, { ...init, hidden, activation: "geluTanh" }),
    modulation: linear(channels, 6 * channels, { ...init, zero: true }),
  });
  const model: Dit = {
    ...embeddedMaps(config, { inputs: timeChannelsOf(config), outputs: channels }, init),
    input: edge(linear(patch * patch * inChannels, channels, init)),
    blocks: Array.from({ length: depth }, block),
    norm: norm(),
    modulation: linear(channels, 2 * channels, { ...init, zero: true }),
    output: edge(linear(channels, patch * patch * outChannels, { ...init, zero: true })),
    forward: (x, times, conditioning = {}) => tidy(() => forward(model, config, x, times, conditioning)),
  };
  return model;
}

function forward(model: Dit, config: DitConfig, x: Tensor, times: Times, conditioning: Conditioning): Tensor {
  const { labels, rng } = conditioning;
  checkImageCall("dit", config, x, times, labels);
  patchGrid("dit", x.shape[1], x.shape[2], config.patch);
  const told = embedded("dit", model, config, { inputs: timeChannelsOf(config) }, x, times, conditioning);
  checkIdentityAttention("dit", conditioning);
  if (rng) return applied(model, config, x, told, conditioning);
  // Without dropout the rest follows from the weights: in a captured step it need not run again.
  const { identityAttention: settings } = conditioning;
  const what = () => ({ key: model, same: leavesOf(model), inputs: [x, told], settings });
  return region(x.backend, what, () => applied(model, config, x, told, conditioning));
}

/** The network told time and class, [batch, channels]. */
function applied(
  model: Dit,
  config: DitConfig,
  x: Tensor,
  told: Tensor,
  { rng, identityAttention }: Pick<Conditioning, "rng" | "identityAttention">,
): Tensor {
  const { patch, channels, positions = "sinCos", dropout: rate = 0 } = config;
  const [, height, width] = x.shape;
  const grid = patchGrid("dit", height, width, patch);
  const isRotary = positions === "rotary";
  const call: AttentionCall = isRotary ? { rotary: { grid } } : {};
  const kept = (y: Tensor) => (rng && rate > 0 ? dropout(y, rate, rng) : y);
  const patches = model.input.forward(patchify(x, patch));
  let tokens = isRotary ? patches : patches.add(sinCosPositions(...grid, channels, { backend: x.backend }));
  const through = (
    { norm, attention, feedForward, modulation }: DitBlock,
    before: Tensor,
    identity: boolean,
  ): Tensor => {
    const [shift1, scale1, gate1, shift2, scale2, gate2] = modulationsOf(modulation, told);
    const mixed = attention.forward(modulated(norm.forward(before), shift1, scale1), { ...call, identity });
    const between = before.add(gate1.mul(kept(mixed)));
    return between.add(gate2.mul(kept(feedForward.forward(modulated(norm.forward(between), shift2, scale2)))));
  };
  const again = config.checkpoint ? checkpoint(through) : undefined;
  const middle = model.blocks.length >> 1;
  for (const [k, block] of model.blocks.entries()) {
    const identity = identityAttention === "all" || (identityAttention === "middle" && k === middle);
    // A block's intermediate tensors are freed when it ends.
    tokens = again ? again(block, tokens, identity) : tidy(() => through(block, tokens, identity));
  }
  const [shift, scale] = modulationsOf(model.modulation, told);
  const out = model.output.forward(modulated(model.norm.forward(tokens), shift, scale));
  return unpatchify(out, { height, width, patch });
}

/** The vectors that a map makes of what the network is told, [batch, 1, channels] each. */
function modulationsOf(modulation: Linear, told: Tensor): Tensor[] {
  return modulation.forward(told).unsqueeze(1).split(told.shape[1], -1);
}

function modulated(x: Tensor, shift: Tensor, scale: Tensor): Tensor {
  return x.mul(scale.add(1)).add(shift);
}

function timeChannelsOf({ timeChannels = 256 }: DitConfig): number {
  return timeChannels;
}

function checkConfig(config: DitConfig): void {
  const { inChannels, outChannels = inChannels, patch, channels, depth, heads, hidden = 1, dropout = 0 } = config;
  const timeChannels = timeChannelsOf(config);
  checkCounts("dit", { inChannels, outChannels, patch, channels, depth, heads, hidden, timeChannels });
  if (channels % heads !== 0) throw new Error(`dit: ${heads} heads of ${channels} channels, want a divisor`);
  const { positions = "sinCos", feedForward: kind = "gelu" } = config;
  if (positions !== "sinCos" && positions !== "rotary")
    throw new Error(`dit: positions is ${positions}, want sinCos or rotary`);
  if (kind !== "gelu" && kind !== "swiGlu") throw new Error(`dit: feedForward is ${kind}, want gelu or swiGlu`);
  const perAxes = positions === "rotary" ? channels / heads : channels;
  if (perAxes % 4 !== 0)
    throw new Error(
      `dit: ${positions} positions of ${perAxes} channels${positions === "rotary" ? " per head" : ""}, want a multiple of 4`,
    );
  if (timeChannels % 2 !== 0)
    throw new Error(`dit: timeChannels is ${timeChannels}, want an even number (half are sines, half cosines)`);
  checkEmbedded("dit", config, { inputs: timeChannels });
  if (!(typeof dropout === "number" && dropout >= 0 && dropout < 1))
    throw wrongArgument("dit", "dropout", dropout, "a rate in [0, 1)");
}
