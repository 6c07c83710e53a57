// The U-Net of DDPM (Ho et al. 2020, appendix B) from a configuration.

import { concat, type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { type AttentionBlock, attentionBlock } from "./attention.ts";
import { type Conv2d, conv2d } from "./conv.ts";
import { classOf, type Embedding, embedding, sinusoidalEmbedding } from "./embedding.ts";
import { expectConfig, expectInit, type InitOptions } from "./init.ts";
import { type Linear, linear } from "./linear.ts";
import { type GroupNorm, groupNorm } from "./norm.ts";
import { type ResidualBlock, residualBlock } from "./residual.ts";

/** Plain data, as checkpoints store it. */
export interface UnetConfig {
  readonly inChannels: number;
  /** Default: inChannels; twice as many to learn variances too. */
  readonly outChannels?: number;
  /** Channels of the first level. */
  readonly channels: number;
  /** Each level's channels as multiples of `channels`; one level per entry, each half as wide as the one before. */
  readonly multipliers: readonly number[];
  /** Residual blocks a level. Default 2. */
  readonly blocks?: number;
  /** Levels with attention after each block, counted from 0 at full resolution. Default: none; the middle always has it. */
  readonly attentionLevels?: readonly number[];
  readonly heads?: number;
  /** Groups of the norms. Default: 32, or fewer where channels are few. */
  readonly groups?: number;
  /** The rate at which activations are dropped in training. Default 0. */
  readonly dropout?: number;
  /** Classes to condition on; one more embedding stands for "no class". Default: unconditional. */
  readonly classes?: number;
  /** Let the embedding scale and shift the norms instead of being added. Default false. */
  readonly scaleShift?: boolean;
}

/** What a call may carry besides image and time. */
export interface Conditioning {
  /** One class a sample in [0, classes); null for none. */
  readonly labels?: readonly (number | null)[];
  /** Draws dropout masks: given in training, left out in sampling. */
  readonly rng?: RandomStream;
}

interface Stage {
  readonly block: ResidualBlock;
  readonly attention?: AttentionBlock;
}

interface Level {
  readonly stages: readonly Stage[];
  /** Halves (going down) or follows the doubling of (going up) height and width. */
  readonly resample?: Conv2d;
}

/** A U-Net; its fields are its state. */
export interface Unet {
  readonly time1: Linear;
  readonly time2: Linear;
  readonly classes?: Embedding;
  readonly input: Conv2d;
  readonly down: readonly Level[];
  readonly middle: readonly Stage[];
  readonly up: readonly Level[];
  readonly norm: GroupNorm;
  readonly output: Conv2d;
  /**
   * Applies the network.
   * @param x [batch, height, width, inChannels], any height and width
   * @param times one a sample, on the scale of 0 … 1000
   * @returns [batch, height, width, outChannels]
   * @throws Error for a wrong number of times or labels, and for labels without classes
   */
  forward(x: Tensor, times: readonly number[], conditioning?: Conditioning): Tensor;
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
  checkConfig(config);
  const {
    inChannels,
    outChannels = inChannels,
    channels,
    multipliers,
    blocks = 2,
    heads,
    groups,
    dropout,
    scaleShift,
  } = config;
  const embeddingChannels = 4 * channels;
  const widths = multipliers.map((multiplier) => multiplier * channels);
  const block = (from: number, to: number) =>
    residualBlock(from, to, { ...init, embeddingChannels, groups, dropout, scaleShift });
  const stage = (from: number, to: number, withAttention: boolean): Stage => ({
    block: block(from, to),
    ...(withAttention && { attention: attentionBlock(to, { ...init, heads, groups }) }),
  });
  const hasAttention = (level: number) => config.attentionLevels?.includes(level) ?? false;

  const skips = [channels]; // channels of the tensors that the way up concatenates
  let width = channels;
  const input = conv2d(inChannels, channels, init);
  const down = widths.map((to, level): Level => {
    const stages = Array.from({ length: blocks }, () => {
      const made = stage(width, to, hasAttention(level));
      width = to;
      skips.push(to);
      return made;
    });
    if (level === widths.length - 1) return { stages };
    skips.push(to);
    return { stages, resample: conv2d(to, to, { ...init, stride: 2 }) };
  });
  const middle = [stage(width, width, true), stage(width, width, false)];
  const up = widths
    .map((to, level) => ({ to, level }))
    .reverse()
    .map(({ to, level }): Level => {
      const stages = Array.from({ length: blocks + 1 }, () => {
        const made = stage(width + (skips.pop() ?? 0), to, hasAttention(level));
        width = to;
        return made;
      });
      return level === 0 ? { stages } : { stages, resample: conv2d(to, to, init) };
    });

  const model: Unet = {
    time1: linear(channels, embeddingChannels, init),
    time2: linear(embeddingChannels, embeddingChannels, init),
    ...(config.classes && { classes: embedding(config.classes + 1, embeddingChannels, init) }),
    input,
    down,
    middle,
    up,
    norm: groupNorm(width, { ...init, groups, activation: "silu" }),
    output: conv2d(width, outChannels, { ...init, zero: true }),
    forward: (x, times, conditioning = {}) => tidy(() => forward(model, config, x, times, conditioning)),
  };
  return model;
}

function forward(
  model: Unet,
  config: UnetConfig,
  x: Tensor,
  times: readonly number[],
  { labels, rng }: Conditioning,
): Tensor {
  checkCall(config, x, times, labels);
  const embedded = embed(model, config, x, times, labels);
  // A stage's intermediate tensors are freed when it ends: kept, they would double the memory of a step.
  const through = (input: Tensor, { block, attention }: Stage): Tensor =>
    tidy(() => {
      const hidden = block.forward(input, embedded, rng);
      return attention ? attention.forward(hidden) : hidden;
    });

  let hidden = model.input.forward(x);
  const skips = [hidden];
  for (const { stages, resample } of model.down) {
    for (const stage of stages) {
      hidden = through(hidden, stage);
      skips.push(hidden);
    }
    if (resample) {
      hidden = resample.forward(hidden);
      skips.push(hidden);
    }
  }
  for (const stage of model.middle) hidden = through(hidden, stage);
  for (const { stages, resample } of model.up) {
    for (const stage of stages) {
      const skip = skips.pop() ?? hidden;
      hidden = through(concat([hidden, skip], -1), stage);
    }
    if (resample) {
      const [, height, width] = (skips.at(-1) ?? hidden).shape;
      // Odd sizes come back one row or column too large.
      const doubled = () => hidden.upsampleNearest(2).slice(null, [0, height], [0, width]);
      hidden = tidy(() => resample.forward(doubled()));
    }
  }
  return model.output.forward(model.norm.forward(hidden));
}

/** [batch, embeddingChannels]: time, plus class where there are classes, activated for the blocks. */
function embed(
  model: Unet,
  { channels, classes }: UnetConfig,
  { backend }: Tensor,
  times: readonly number[],
  labels: Conditioning["labels"],
): Tensor {
  const time = model.time2.forward(model.time1.forward(sinusoidalEmbedding(times, channels, { backend })).silu());
  if (!model.classes || classes === undefined) return time.silu();
  const none = classes;
  return time
    .add(model.classes.forward(() => times.map((_, k) => classOf("unet", labels ? labels[k] : null, none))))
    .silu();
}

function checkCall(
  { inChannels, classes }: UnetConfig,
  { shape }: Tensor,
  times: readonly number[],
  labels: Conditioning["labels"],
): void {
  if (shape.length !== 4 || shape[3] !== inChannels) {
    throw new Error(`unet: x has shape [${shape.join(", ")}], want [batch, height, width, ${inChannels}]`);
  }
  if (times.length !== shape[0])
    throw new Error(`unet: ${times.length} times for a batch of ${shape[0]}, want one a sample`);
  if (!labels) return;
  if (classes === undefined) throw new Error("unet: labels given to a model without classes, want none");
  if (labels.length !== shape[0])
    throw new Error(`unet: ${labels.length} labels for a batch of ${shape[0]}, want one a sample`);
}

function checkConfig(config: UnetConfig): void {
  const {
    inChannels,
    outChannels = inChannels,
    channels,
    multipliers,
    blocks = 2,
    heads = 1,
    classes,
    dropout = 0,
  } = config;
  for (const [name, value] of Object.entries({
    inChannels,
    outChannels,
    channels,
    blocks,
    heads,
    ...(classes !== undefined && { classes }),
  })) {
    if (!Number.isInteger(value) || value < 1) throw new Error(`unet: ${name} is ${value}, want a positive integer`);
  }
  if (channels % 2 !== 0)
    throw new Error(`unet: channels is ${channels}, want an even number (half are sines, half cosines)`);
  if (multipliers.length === 0 || !multipliers.every((m) => Number.isInteger(m * channels) && m > 0)) {
    throw new Error(`unet: multipliers is [${multipliers.join(", ")}], want at least one, each giving whole channels`);
  }
  for (const level of config.attentionLevels ?? [])
    if (!(Number.isInteger(level) && level >= 0 && level < multipliers.length))
      throw new Error(`unet: attentionLevels has ${level}, want integers in [0, ${multipliers.length - 1}]`);
  if (!(dropout >= 0 && dropout < 1)) throw new Error(`unet: dropout is ${dropout}, want a rate in [0, 1)`);
}
