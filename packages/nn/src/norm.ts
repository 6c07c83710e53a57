// Group normalisation, with the activation that follows it fused in.

import { ones, optionsOf, type Tensor } from "@pkg/tensor";
import { expectCount, type InitOptions, zeroInit } from "./init.ts";

/** Normalises each group of channels of each sample, then scales and shifts each channel (Wu & He 2018). */
export interface GroupNorm {
  /** [channels] */
  readonly scale: Tensor;
  /** [channels] */
  readonly bias: Tensor;
  /** [batch, ..., channels] → the same */
  forward(x: Tensor): Tensor;
}

/**
 * @param options groups: at most 32 by default, the largest divisor of `channels` up to it; activation: applied to the result
 * @throws Error when `groups` does not divide `channels`
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
  if (channels % groups !== 0) throw new Error(`groupNorm: ${groups} groups of ${channels} channels, want a divisor`);
  const layer: GroupNorm = {
    scale: ones([channels], { backend }).contiguous(),
    bias: zeroInit([channels], { backend }),
    forward: (x) => x.groupNorm(layer.scale, layer.bias, { groups, epsilon, activation }),
  };
  return layer;
}

/** 32 groups as in the paper, or as many as leave at least four channels a group and divide the channels. */
function defaultGroups(channels: number): number {
  for (let groups = Math.min(32, channels >> 2); groups > 1; groups--) if (channels % groups === 0) return groups;
  return 1;
}
