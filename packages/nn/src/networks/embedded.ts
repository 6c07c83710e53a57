// The vector that tells the blocks of an image network time, class and more numbers: its maps, its checks, and how a call is embedded.

import { type Tensor, wrongArgument } from "@pkg/tensor";
import { classesOf, type Embedding, embedding } from "../layers/embedding.ts";
import { checkFourier, type FourierOptions, fourierEmbedding } from "../layers/fourier.ts";
import { type Linear, linear } from "../layers/linear.ts";
import { checkSinusoid, type SinusoidOptions, sinusoidalEmbedding } from "../layers/sinusoid.ts";
import { type InitOptions, zeroInit } from "../module/init.ts";
import { buffer } from "../module/parameters.ts";
import { type Conditioning, checkNumberConfig, embeddedNumbers, type NumberConfig } from "./conditioning.ts";
import { checkLabels, checkTimes, type Times } from "./times.ts";

/** What of a network's configuration says what it is told. */
export interface EmbeddedConfig {
  /** Classes to condition on. One more embedding stands for "no class". Default: unconditional. */
  readonly classes?: number;
  /** How times are embedded: period, order, shift and scale. */
  readonly timeEmbedding?: SinusoidOptions;
  /** Fourier features of the time, with frequencies that are drawn and not trained, instead of `timeEmbedding`. */
  readonly fourier?: FourierOptions;
  /**
   * More numbers per sample, which every call has to give (`conditioning.numbers`). Each is embedded as time is, and added to
   * it.
   */
  readonly numbers?: NumberConfig;
}

/** The two maps that an extra number's embedding goes through. */
export interface NumberMaps {
  /** Applied first; an activation follows. */
  readonly first: Linear;
  /** Applied to that. */
  readonly second: Linear;
}

/** The state of a network that embeds what it is told. */
export interface EmbeddedMaps {
  /** A buffer, [inputs / 2]: the frequencies of Fourier features, where `fourier` asks for them. */
  readonly frequencies?: Tensor;
  /** The first map of the time's embedding; silu follows. */
  readonly time1: Linear;
  /** The second map of the time's embedding. */
  readonly time2: Linear;
  /** The maps of the extra numbers' embeddings. */
  readonly numbers?: Readonly<Record<string, NumberMaps>>;
  /** The vectors of the classes, the last for "no class". */
  readonly classes?: Embedding;
}

/** How long the embeddings are: sines and cosines first, then what the blocks are told. */
export interface EmbeddedSizes {
  /** Of sines and cosines, even. */
  readonly inputs: number;
  /** Of the vector for the blocks. */
  readonly outputs: number;
}

/** Maps with drawn weights. */
export function embeddedMaps(
  { classes, fourier, numbers }: EmbeddedConfig,
  { inputs, outputs }: EmbeddedSizes,
  init: InitOptions,
): EmbeddedMaps {
  return {
    ...(fourier && { frequencies: buffer(frequenciesOf(inputs / 2, fourier, init)) }),
    time1: linear(inputs, outputs, init),
    time2: linear(outputs, outputs, init),
    ...(numbers && {
      numbers: Object.fromEntries(
        Object.keys(numbers).map((name): [string, NumberMaps] => [
          name,
          { first: linear(inputs, outputs, init), second: linear(outputs, outputs, init) },
        ]),
      ),
    }),
    ...(classes && { classes: embedding(classes + 1, outputs, init) }),
  };
}

function frequenciesOf(count: number, { scale = 16 }: FourierOptions, { rng, backend }: InitOptions): Tensor {
  return rng ? rng.normal([count], { backend, std: scale }) : zeroInit([count], { backend });
}

/** [batch, outputs]: time, plus class and numbers where there are any, activated for the blocks. */
export function embedded(
  name: string,
  maps: EmbeddedMaps,
  { classes, timeEmbedding, fourier, numbers = {} }: EmbeddedConfig,
  { inputs }: Pick<EmbeddedSizes, "inputs">,
  x: Tensor,
  times: Times,
  conditioning: Conditioning,
): Tensor {
  const { labels, steps } = conditioning;
  const { backend } = x;
  const mapped = (sines: Tensor, first: Linear, second: Linear) => second.forward(first.forward(sines).silu());
  const time = maps.frequencies
    ? fourierEmbedding(times, maps.frequencies, fourier)
    : sinusoidalEmbedding(times, inputs, { ...timeEmbedding, backend, steps });
  const parts = [mapped(time, maps.time1, maps.time2)];
  if (maps.classes && classes !== undefined)
    parts.push(maps.classes.forward(classesOf(name, labels, classes, x.shape[0])));
  for (const [number, sines] of Object.entries(embeddedNumbers(name, numbers, conditioning, x, inputs))) {
    const of = maps.numbers?.[number];
    if (of) parts.push(mapped(sines, of.first, of.second));
  }
  return parts.reduce((sum, part) => sum.add(part)).silu();
}

/** Refuses a configuration of embeddings. @throws Error naming the field */
export function checkEmbedded(
  name: string,
  { classes, timeEmbedding, fourier, numbers = {} }: EmbeddedConfig,
  { inputs }: Pick<EmbeddedSizes, "inputs">,
): void {
  checkCounts(name, { ...(classes !== undefined && { classes }) });
  for (const [field, value] of Object.entries({ fourier, timeEmbedding, numbers }))
    if (value !== undefined && (typeof value !== "object" || value === null || Array.isArray(value)))
      throw wrongArgument(name, field, value, "an object of options");
  if (fourier && timeEmbedding) throw new Error(`${name}: fourier and timeEmbedding, want one of them`);
  if (fourier) checkFourier(`${name}: fourier`, fourier);
  else checkSinusoid(`${name}: timeEmbedding`, timeEmbedding ?? {}, inputs);
  checkNumberConfig(name, numbers, inputs);
}

/** Refuses what is no positive integer among a configuration's counts. @throws Error naming the field */
export function checkCounts(name: string, counts: Readonly<Record<string, unknown>>): void {
  for (const [field, value] of Object.entries(counts))
    if (!(Number.isInteger(value) && Number(value) > 0)) throw wrongArgument(name, field, value, "a positive integer");
}

/** Refuses a call of an image network. @throws Error for images of another shape, and times and labels that do not fit them */
export function checkImageCall(
  name: string,
  { inChannels, classes }: { readonly inChannels: number; readonly classes?: number },
  x: Tensor,
  times: Times,
  labels: Conditioning["labels"],
): void {
  const { shape } = x;
  if (shape.length !== 4 || shape[3] !== inChannels)
    throw new Error(`${name}: x has shape [${shape.join(", ")}], want [batch, height, width, ${inChannels}]`);
  checkTimes(name, times, x);
  if (!labels) return;
  if (classes === undefined) throw new Error(`${name}: labels given to a model without classes, want none`);
  checkLabels(name, labels, x);
}
