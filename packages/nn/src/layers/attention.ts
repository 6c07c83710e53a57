// The self-attention block of the U-Net.

import type { Tensor } from "@pkg/tensor";
import { expectCount, expectInit, type InitOptions } from "../module/init.ts";
import { type Linear, linear } from "./linear.ts";
import { type GroupNorm, groupNorm } from "./norm.ts";

/** x + W_o · attention(W_q n, W_k n, W_v n) with n = groupNorm(x), over all positions of an image. */
export interface AttentionBlock {
  /** Before the attention. */
  readonly norm: GroupNorm;
  /** The map [channels, 3 · channels] to queries, then keys, then values, each with its heads one after another. */
  readonly qkv: Linear;
  /** The map W_o, [channels, channels]. */
  readonly out: Linear;
  /**
   * [batch, height, width, channels] → the same
   * @param options identity: whether each position sees itself alone, so that the attention gives W_v n. Default false
   */
  forward(x: Tensor, options?: { readonly identity?: boolean }): Tensor;
}

/**
 * An attention block that starts as the identity: its last map is zero.
 * @param options `heads` is 1 by default; `groups` and `epsilon` as in `groupNorm`; `scale`, 1 by default, multiplies the sum
 * @throws Error when `heads` does not divide `channels`
 */
export function attentionBlock(
  channels: number,
  options: InitOptions & {
    readonly heads?: number;
    readonly groups?: number;
    readonly epsilon?: number;
    readonly scale?: number;
  },
): AttentionBlock {
  expectCount("attention", "channels", channels);
  expectInit("attention", options);
  const { heads = 1, groups, epsilon, scale = 1, ...init } = options;
  if (channels % heads !== 0) throw new Error(`attention: ${heads} heads of ${channels} channels, want a divisor`);
  const block: AttentionBlock = {
    norm: groupNorm(channels, { ...init, groups, epsilon }),
    qkv: linear(channels, 3 * channels, init),
    out: linear(channels, channels, { ...init, zero: true }),
    forward(x, { identity = false } = {}) {
      const [batch, height, width] = x.shape;
      const tokens = height * width;
      const perHead = block.qkv
        .forward(block.norm.forward(x).reshape([batch, tokens, channels]))
        .reshape([batch, tokens, 3, heads, channels / heads])
        .permute([2, 0, 3, 1, 4]); // [3, batch, heads, tokens, channels / heads]
      const [q, k, v] = [0, 1, 2].map((part) => perHead.slice(part));
      const mixed = (identity ? v : q.attention(k, v)).permute([0, 2, 1, 3]).reshape([batch, tokens, channels]);
      const sum = x.add(block.out.forward(mixed).reshape(x.shape));
      return scale === 1 ? sum : sum.mul(scale);
    },
  };
  return block;
}
