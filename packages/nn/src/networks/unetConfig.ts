// What defines a U-Net, and which of it is impossible. Plain data.

import { type Shape, wrongArgument } from "@pkg/tensor";
import { expectPositive } from "../module/init.ts";
import { checkCounts, checkEmbedded, type EmbeddedConfig } from "./embedded.ts";

/** Plain data, as checkpoints store it. */
export interface UnetConfig extends EmbeddedConfig {
  /** Channels of the images. */
  readonly inChannels: number;
  /** Default: inChannels; twice as many to learn variances too. */
  readonly outChannels?: number;
  /** Channels of the first level. */
  readonly channels: number;
  /** Each level's channels as multiples of `channels`; one level per entry, each half as wide as the one before. */
  readonly multipliers: readonly number[];
  /** Residual blocks per level. Default 2. */
  readonly blocks?: number;
  /** Levels with attention after each block, counted from 0 at full resolution. Default: none. */
  readonly attentionLevels?: readonly number[];
  /** Whether the middle has attention. Default true. */
  readonly middleAttention?: boolean;
  /** Heads of the attention. Default 1. */
  readonly heads?: number;
  /** Channels of a head, instead of `heads`: wider levels have more heads then. */
  readonly headChannels?: number;
  /** Groups of the norms. Default: 32, or fewer where channels are few. */
  readonly groups?: number;
  /** The rate at which activations are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Whether the embedding scales and shifts the norms' results instead of being added. Default false. */
  readonly scaleShift?: boolean;
  /** Added to the variances of the norms. Default 1e-5. */
  readonly epsilon?: number;
  /** What every sum of a block and its skip is multiplied by: √½ in NCSN++ and EDM. Default 1. */
  readonly residualScale?: number;
  /** "conv" (the default) halves by a convolution of stride 2, "residual" inside of a residual block, as ADM does. */
  readonly downsampling?: "conv" | "residual";
  /** "conv" (the default) repeats pixels before a convolution, "residual" inside of a residual block, as ADM does. */
  readonly upsampling?: "conv" | "residual";
  /**
   * Zeros around an image before a convolution of stride 2: 1 (the default) on all sides; 0, as diffusers calls it, at the bottom and the
   * right alone, as in DDPM's code.
   */
  readonly downsamplePadding?: 0 | 1;
  /** Sines and cosines of the time's embedding. Default: channels. */
  readonly timeChannels?: number;
  /**
   * Whether training keeps the input of each stage alone, and computes the rest again in the backward pass (`checkpoint`): less memory, more
   * time, the same state and bits. Default false.
   */
  readonly checkpoint?: boolean;
}

/** Refuses a configuration that is impossible. @throws Error naming the field */
export function checkUnetConfig(config: UnetConfig): void {
  const { inChannels, outChannels = inChannels, channels, multipliers, blocks = 2, heads = 1, dropout = 0 } = config;
  const { headChannels, epsilon = 1e-5, residualScale = 1, timeChannels = channels } = config;
  checkCounts("unet", { inChannels, outChannels, channels, blocks, heads });
  const field = config.timeChannels === undefined ? "channels" : "timeChannels";
  checkCounts("unet", { [field]: timeChannels });
  if (timeChannels % 2 !== 0)
    throw new Error(`unet: ${field} is ${timeChannels}, want an even number (half are sines, half cosines)`);
  checkEmbedded("unet", config, { inputs: timeChannels });
  for (const [field, value] of Object.entries({ multipliers, attentionLevels: config.attentionLevels ?? [] }))
    if (!Array.isArray(value)) throw wrongArgument("unet", field, value, "a list of numbers");
  if (multipliers.length === 0 || !multipliers.every((m) => Number.isInteger(m * channels) && m > 0)) {
    throw new Error(`unet: multipliers is [${multipliers.join(", ")}], want at least one, each giving whole channels`);
  }
  for (const level of config.attentionLevels ?? [])
    if (!(Number.isInteger(level) && level >= 0 && level < multipliers.length))
      throw new Error(`unet: attentionLevels has ${level}, want integers in [0, ${multipliers.length - 1}]`);
  if (!(typeof dropout === "number" && dropout >= 0 && dropout < 1))
    throw wrongArgument("unet", "dropout", dropout, "a rate in [0, 1)");
  if (headChannels !== undefined) checkHeads(config, headChannels);
  for (const [name, value] of Object.entries({ epsilon, residualScale })) expectPositive("unet", name, value);
  for (const name of ["downsampling", "upsampling"] as const) {
    const way = config[name] ?? "conv";
    if (way !== "conv" && way !== "residual") throw new Error(`unet: ${name} is ${way}, want conv or residual`);
  }
  const { downsamplePadding = 1, downsampling } = config;
  if (downsamplePadding !== 0 && downsamplePadding !== 1)
    throw new Error(`unet: downsamplePadding is ${downsamplePadding}, want 0 or 1`);
  if (config.downsamplePadding !== undefined && downsampling === "residual")
    throw new Error("unet: downsamplePadding with downsampling residual, want it with conv alone");
}

function checkHeads(
  { channels, multipliers, heads, attentionLevels = [], ...config }: UnetConfig,
  width: number,
): void {
  checkCounts("unet", { headChannels: width });
  if (heads !== undefined) throw new Error(`unet: heads ${heads} and headChannels ${width}, want one of them`);
  const { middleAttention = true } = config;
  const levels = middleAttention ? [...attentionLevels, multipliers.length - 1] : attentionLevels;
  for (const level of levels) {
    const wide = channels * multipliers[level];
    if (wide % width !== 0)
      throw new Error(`unet: headChannels is ${width}, want a divisor of the ${wide} channels of level ${level}`);
  }
}

/** Refuses images whose height and width do not halve as often as the network halves them. @throws Error with the size */
export function checkUnetSize({ multipliers, ...config }: UnetConfig, [, height, width]: Shape): void {
  const isFree =
    config.downsampling !== "residual" && config.upsampling !== "residual" && config.downsamplePadding !== 0;
  const multiple = 2 ** (multipliers.length - 1);
  if (isFree || (height % multiple === 0 && width % multiple === 0)) return;
  throw new Error(`unet: x of ${height} × ${width} with ${multipliers.length} levels, want multiples of ${multiple}`);
}
