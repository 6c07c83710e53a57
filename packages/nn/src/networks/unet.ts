// The U-Net of DDPM (Ho et al. 2020, appendix B) from a configuration.

import { checkpoint, concat, region, type Tensor, tidy } from "@pkg/tensor";
import { type AttentionBlock, attentionBlock } from "../layers/attention.ts";
import { type Conv2d, conv2d } from "../layers/conv.ts";
import { type GroupNorm, groupNorm } from "../layers/norm.ts";
import { type ResidualBlock, residualBlock } from "../layers/residual.ts";
import { expectConfig, expectInit, type InitOptions } from "../module/init.ts";
import { leavesOf } from "../module/leaves.ts";
import { edge } from "../module/parameters.ts";
import { type Conditioning, checkIdentityAttention } from "./conditioning.ts";
import { checkImageCall, type EmbeddedMaps, embedded, embeddedMaps } from "./embedded.ts";
import type { Times } from "./times.ts";
import { checkUnetConfig, checkUnetSize, type UnetConfig } from "./unetConfig.ts";

/** A residual block, and attention after it where the level has it. */
export interface UnetStage {
  /** Keeps height and width. */
  readonly block: ResidualBlock;
  /** Over all positions. */
  readonly attention?: AttentionBlock;
}

/** The blocks of one resolution, and what leads to the next. */
export interface UnetLevel {
  /** One after another. */
  readonly stages: readonly UnetStage[];
  /** Halves (going down) or follows the doubling of (going up) height and width. */
  readonly resample?: Conv2d | ResidualBlock;
}

/** A U-Net; its fields are its state. */
export interface Unet extends EmbeddedMaps {
  /** From images to the channels of the first level. */
  readonly input: Conv2d;
  /** The levels from full resolution to the lowest. */
  readonly down: readonly UnetLevel[];
  /** Two stages at the lowest resolution, the first with attention unless the configuration leaves it out. */
  readonly middle: readonly UnetStage[];
  /** The levels from the lowest resolution to the full one. */
  readonly up: readonly UnetLevel[];
  /** Before the output; silu follows. */
  readonly norm: GroupNorm;
  /** From the channels of the first level to the images'. */
  readonly output: Conv2d;
  /**
   * Applies the network.
   * @param x [batch, height, width, inChannels], any height and width, or multiples of 2^(levels − 1) with residual
   * resampling or one-sided padding
   * @param times one per sample, on the scale of 0 … 1000 unless `timeEmbedding` has another
   * @returns [batch, height, width, outChannels]
   * @throws Error for times, labels or numbers of another number, and tensors of them of another shape, type or backend; for
   * labels without classes; and for numbers that are missing or not configured
   */
  forward(x: Tensor, times: Times, conditioning?: Conditioning): Tensor;
}

/**
 * A U-Net with weights drawn from `rng`. Its output starts at zero.
 * @throws Error naming the field when the configuration is impossible
 * @example
 * ```ts
 * import { parameterCount, unet } from "@pkg/nn";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const rng = randomStream(0);
 * const backend = cpu();
 * const model = unet({ inChannels: 1, channels: 8, multipliers: [1, 2], classes: 10 }, { rng, backend });
 * const x = rng.normal([2, 8, 8, 1], { backend }); // two images, channels last
 * const noise = model.forward(x, [10, 500], { labels: [7, null] }); // a seven, and any digit
 * console.log(noise.shape); // [2, 8, 8, 1]
 * console.log(parameterCount(model)); // 58945
 * ```
 */
export function unet(config: UnetConfig, init: InitOptions): Unet {
  expectConfig("unet", config);
  expectInit("unet", init);
  checkUnetConfig(config);
  const {
    inChannels,
    outChannels = inChannels,
    channels,
    multipliers,
    blocks = 2,
    headChannels,
    groups,
    dropout,
    scaleShift,
    epsilon,
    residualScale: scale,
    middleAttention = true,
  } = config;
  const embeddingChannels = 4 * channels;
  const headsOf = (wide: number) => (headChannels === undefined ? config.heads : wide / headChannels);
  const widths = multipliers.map((multiplier) => multiplier * channels);
  const block = (from: number, to: number, resample?: "down" | "up") =>
    residualBlock(from, to, { ...init, embeddingChannels, groups, dropout, scaleShift, epsilon, scale, resample });
  const stage = (from: number, to: number, withAttention: boolean): UnetStage => ({
    block: block(from, to),
    ...(withAttention && { attention: attentionBlock(to, { ...init, heads: headsOf(to), groups, epsilon, scale }) }),
  });
  const halving = (to: number) =>
    config.downsampling === "residual"
      ? block(to, to, "down")
      : conv2d(to, to, { ...init, stride: 2, padding: config.downsamplePadding === 0 ? "after" : "around" });
  const doubling = (to: number) => (config.upsampling === "residual" ? block(to, to, "up") : conv2d(to, to, init));
  const hasAttention = (level: number) => config.attentionLevels?.includes(level) ?? false;

  const skips = [channels]; // channels of the tensors that the way up concatenates
  let width = channels;
  const input = edge(conv2d(inChannels, channels, init));
  const down = widths.map((to, level): UnetLevel => {
    const stages = Array.from({ length: blocks }, () => {
      const made = stage(width, to, hasAttention(level));
      width = to;
      skips.push(to);
      return made;
    });
    if (level === widths.length - 1) return { stages };
    skips.push(to);
    return { stages, resample: halving(to) };
  });
  const middle = [stage(width, width, middleAttention), stage(width, width, false)];
  const up = widths
    .map((to, level) => ({ to, level }))
    .reverse()
    .map(({ to, level }): UnetLevel => {
      const stages = Array.from({ length: blocks + 1 }, () => {
        const made = stage(width + (skips.pop() ?? 0), to, hasAttention(level));
        width = to;
        return made;
      });
      return level === 0 ? { stages } : { stages, resample: doubling(to) };
    });

  const model: Unet = {
    ...embeddedMaps(config, { inputs: timeChannelsOf(config), outputs: embeddingChannels }, init),
    input,
    down,
    middle,
    up,
    norm: groupNorm(width, { ...init, groups, epsilon, activation: "silu" }),
    output: edge(conv2d(width, outChannels, { ...init, zero: true })),
    forward: (x, times, conditioning = {}) => tidy(() => forward(model, config, x, times, conditioning)),
  };
  return model;
}

function forward(model: Unet, config: UnetConfig, x: Tensor, times: Times, conditioning: Conditioning): Tensor {
  const { labels, rng } = conditioning;
  checkImageCall("unet", config, x, times, labels);
  checkUnetSize(config, x.shape);
  const told = embedded("unet", model, config, { inputs: timeChannelsOf(config) }, x, times, conditioning);
  checkIdentityAttention("unet", conditioning);
  if (rng) return applied(model, config, x, told, conditioning);
  // Without dropout the rest follows from the weights: in a captured step it need not run again.
  const { identityAttention: settings } = conditioning;
  const what = () => ({ key: model, same: leavesOf(model), inputs: [x, told], settings });
  return region(x.backend, what, () => applied(model, config, x, told, conditioning));
}

/** The network told time and class, [batch, embeddingChannels]. */
function applied(
  model: Unet,
  config: UnetConfig,
  x: Tensor,
  told: Tensor,
  { rng, identityAttention }: Pick<Conditioning, "rng" | "identityAttention">,
): Tensor {
  // A part's intermediate tensors are freed when it ends: kept, they would double the memory of a step.
  const part = <Args extends readonly unknown[]>(f: (...args: Args) => Tensor) =>
    config.checkpoint ? checkpoint(f) : (...args: Args) => tidy(() => f(...args));
  const through = part(({ block, attention }: UnetStage, inputs: Tensor[], identity?: boolean) => {
    const hidden = block.forward(inputs.length > 1 ? concat(inputs, -1) : inputs[0], told, rng);
    return attention ? attention.forward(hidden, { identity: identity ?? identityAttention === "all" }) : hidden;
  });
  const doubled = part(({ forward }: Conv2d, hidden: Tensor, like: Tensor): Tensor => {
    const [, height, width] = like.shape;
    // Odd sizes come back one row or column too large.
    return forward(hidden.upsampleNearest(2).slice(null, [0, height], [0, width]));
  });

  let hidden = model.input.forward(x);
  const skips = [hidden];
  for (const { stages, resample } of model.down) {
    for (const stage of stages) {
      hidden = through(stage, [hidden]);
      skips.push(hidden);
    }
    if (resample) {
      hidden = isBlock(resample) ? through({ block: resample }, [hidden]) : resample.forward(hidden);
      skips.push(hidden);
    }
  }
  for (const stage of model.middle) hidden = through(stage, [hidden], identityAttention !== undefined);
  for (const { stages, resample } of model.up) {
    for (const stage of stages) {
      const skip = skips.pop() ?? hidden;
      hidden = through(stage, [hidden, skip]);
    }
    if (resample && isBlock(resample)) hidden = through({ block: resample }, [hidden]);
    else if (resample) hidden = doubled(resample, hidden, skips.at(-1) ?? hidden);
  }
  return model.output.forward(model.norm.forward(hidden));
}

function isBlock(resample: Conv2d | ResidualBlock): resample is ResidualBlock {
  return "conv1" in resample;
}

function timeChannelsOf({ channels, timeChannels = channels }: UnetConfig): number {
  return timeChannels;
}
