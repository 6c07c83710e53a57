// A transformer on sequences of categories, such as the characters of a text: one prediction for each place.

import { concat, Tensor, tidy, wrongArgument } from "@pkg/tensor";
import { type Embedding, embedding } from "../layers/embedding.ts";
import { type FeedForward, feedForward } from "../layers/feedForward.ts";
import { type LayerNorm, layerNorm } from "../layers/layerNorm.ts";
import { type Linear, linear } from "../layers/linear.ts";
import { type MultiheadAttention, multiheadAttention } from "../layers/multiheadAttention.ts";
import { expectConfig, expectCount, expectInit, type InitOptions } from "../module/init.ts";
import { edge } from "../module/parameters.ts";

/** Plain data, as checkpoints store it. */
export interface TokenTransformerConfig {
  /** Values that a place can show, a mask included. */
  readonly states: number;
  /** Values that are predicted. */
  readonly outputs: number;
  /** Channels of a place. */
  readonly channels: number;
  /** Blocks, one after another. */
  readonly depth: number;
  /** Heads of the attention; channels / heads is an even number. */
  readonly heads: number;
}

/** x + attention(norm(x)), then x + feedForward(norm(x)). */
export interface TokenBlock {
  /** Before the attention. */
  readonly norm1: LayerNorm;
  /** Of all places to each other, with rotary positions. */
  readonly attention: MultiheadAttention;
  /** Before the feed-forward part. */
  readonly norm2: LayerNorm;
  /** Of each place by itself. */
  readonly feedForward: FeedForward;
}

/** A transformer on categories; its fields are its state. */
export interface TokenTransformer {
  /** A vector for each state. */
  readonly embedding: Embedding;
  /** Of what a place and its two neighbours show, [3 · channels, channels], added to its vector: it learns pairs before attention does. */
  readonly neighbours: Linear;
  /** First to last. */
  readonly blocks: readonly TokenBlock[];
  /** Before the output. */
  readonly norm: LayerNorm;
  /** From channels to logits. */
  readonly output: Linear;
  /**
   * Applies the network. It sees no time: how many places are masked tells it (Sahoo et al. 2024, MDLM, section 3.4).
   * @param x int32 [batch, places], any number of places
   * @returns logits [batch, places, outputs]
   * @throws Error for what is no int32 [batch, places]
   */
  forward(x: Tensor): Tensor;
}

/**
 * A transformer on categories with drawn weights, with norms before each part (Xiong et al. 2020) and rotary positions. All places see each
 * other, as masked diffusion wants it.
 * @throws Error naming the field when the configuration is impossible
 */
export function tokenTransformer(config: TokenTransformerConfig, init: InitOptions): TokenTransformer {
  expectConfig("tokenTransformer", config);
  expectInit("tokenTransformer", init);
  const { states, outputs, channels, depth, heads } = config;
  for (const [name, value] of Object.entries({ states, outputs, channels, depth, heads }))
    expectCount("tokenTransformer", name, value);
  if (channels % (2 * heads) !== 0)
    throw wrongArgument("tokenTransformer", "heads", heads, `half of a divisor of channels = ${channels}`);
  const model: TokenTransformer = {
    embedding: embedding(states, channels, init),
    neighbours: linear(3 * channels, channels, init),
    blocks: Array.from({ length: depth }, () => ({
      norm1: layerNorm(channels, init),
      attention: multiheadAttention(channels, { ...init, heads }),
      norm2: layerNorm(channels, init),
      feedForward: feedForward(channels, init),
    })),
    norm: layerNorm(channels, init),
    output: edge(linear(channels, outputs, init)),
    forward(x) {
      if (!(x instanceof Tensor) || x.dtype !== "int32" || x.shape.length !== 2)
        throw wrongArgument("tokenTransformer", "x", x, "int32 [batch, places]");
      return tidy(() => {
        const shown = model.embedding.forward(x);
        const [before, after] = [shown.slice(null, [0, -1]), shown.slice(null, [1, null])];
        const around = [before.pad([NONE, [1, 0], NONE]), shown, after.pad([NONE, [0, 1], NONE])];
        const hidden = model.blocks.reduce(applied, shown.add(model.neighbours.forward(concat(around, -1))));
        return model.output.forward(model.norm.forward(hidden));
      });
    },
  };
  return model;
}

const NONE: readonly [number, number] = [0, 0];

function applied(x: Tensor, block: TokenBlock): Tensor {
  return tidy(() => {
    const seen = x.add(block.attention.forward(block.norm1.forward(x), { rotary: {} }));
    return seen.add(block.feedForward.forward(block.norm2.forward(seen)));
  });
}
