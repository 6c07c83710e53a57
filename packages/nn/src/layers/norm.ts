// The group normalisation layer. The activation that follows is fused in.

import { ones, optionsOf, type Tensor } from "@pkg/tensor";
import { expectCount, expectPositive, type InitOptions, zeroInit } from "../module/init.ts";

/** Group normalisation (Wu & He 2018, arXiv:1803.08494) with a scale and a bias per channel. */
export interface GroupNorm {
  /** [channels] */
  readonly scale: Tensor;
  /** [channels] */
  readonly bias: Tensor;
  /** [batch, ..., channels] → the same */
  forward(x: Tensor): Tensor;
}

/**
 * A group normalisation that starts with scale 1 and bias 0.
 * @param options `groups`: by default 32, or the largest divisor of `channels` that leaves four channels per group. `epsilon`
 * is 1e-5 by default. `activation` is applied to the result
 * @throws Error when `groups` does not divide `channels`, or `epsilon` is no positive number
 */
export function groupNorm(
  channels: number,
  options: Pick<InitOptions, "backend"> & {
    readonly groups?: number;
    readonly epsilon?: number;
    readonly activation?: "none" | "silu";
  } = {},
): GroupNorm {
  expectCount("groupNorm", "channels", channels);
  const {
    groups = defaultGroups(channels),
    epsilon = 1e-5,
    activation = "none",
    backend,
  } = optionsOf("groupNorm", options, "{ groups: 8 }");
  expectPositive("groupNorm", "epsilon", epsilon);
  if (channels % groups !== 0) throw new Error(`groupNorm: ${groups} groups of ${channels} channels, want a divisor`);
  const layer: GroupNorm = {
    scale: ones([channels], { backend }).contiguous(),
    bias: zeroInit([channels], { backend }),
    forward: (x) => x.groupNorm(layer.scale, layer.bias, { groups, epsilon, activation }),
  };
  return layer;
}

/** 32 groups as in the paper; fewer where that would leave less than four channels per group, or not divide the channels. */
function defaultGroups(channels: number): number {
  for (let groups = Math.min(32, channels >> 2); groups > 1; groups--) if (channels % groups === 0) return groups;
  return 1;
}
