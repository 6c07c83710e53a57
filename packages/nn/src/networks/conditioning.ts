// What a call of a network may carry besides x and time, and how the extra numbers among it are checked and embedded.

import { type RandomStream, type Tensor, wrongArgument } from "@pkg/tensor";
import { checkSinusoid, type SinusoidOptions, sinusoidalEmbedding } from "../layers/sinusoid.ts";
import { checkTimes, type Labels, type Times } from "./times.ts";

/** What a network is told besides x and time. */
export interface Conditioning {
  /** One class per sample. Default: none. */
  readonly labels?: Labels;
  /**
   * More numbers per sample, by the names that the network's configuration gives them: a second time r (MeanFlow), a step size
   * d (shortcut models), a guidance scale w (guidance distillation).
   */
  readonly numbers?: Readonly<Record<string, Times>>;
  /**
   * T, where times are an int32 tensor of steps 0 … T − 1: networks then read the exact row of each step from a table. Losses
   * of a schedule say it.
   */
  readonly steps?: number;
  /**
   * Whose attention maps are the identity, so that each place sees itself alone: the attention in the middle of the network (of a U-Net its
   * bottleneck's, of a transformer the middle block's), or all. Default: none. Perturbed-attention guidance asks so.
   */
  readonly identityAttention?: "middle" | "all";
  /** Draws dropout masks: given in training, left out in sampling. */
  readonly rng?: RandomStream;
}

/** The extra numbers that a network is told, by name, and how each is embedded. */
export type NumberConfig = Readonly<Record<string, SinusoidOptions>>;

/** @throws Error unless identityAttention is one of its words, or none */
export function checkIdentityAttention(name: string, { identityAttention: of }: Conditioning): void {
  if (of !== undefined && of !== "middle" && of !== "all")
    throw wrongArgument(name, "identityAttention", of, "middle or all");
}

/** Refuses options of extra numbers that are out of range. @throws Error naming the number */
export function checkNumberConfig(name: string, config: NumberConfig, channels: number): void {
  for (const [number, options] of Object.entries(config)) {
    if (typeof options !== "object" || options === null)
      throw wrongArgument(name, `numbers.${number}`, options, "an object of options, {} for none");
    checkSinusoid(`${name}: numbers.${number}`, options, channels);
  }
}

/**
 * The sinusoidal embeddings of a call's extra numbers by name, [batch, channels] each.
 * @throws Error for a number that is missing, and for one that is not configured
 */
export function embeddedNumbers(
  name: string,
  config: NumberConfig,
  { numbers = {} }: Pick<Conditioning, "numbers">,
  x: Tensor,
  channels: number,
): Record<string, Tensor> {
  const known = Object.keys(config);
  const other = Object.keys(numbers).find((number) => !known.includes(number));
  if (other !== undefined)
    throw new Error(
      `${name}: numbers.${other} given to a model that knows ${known.join(", ") || "none"}, want one that is made with numbers: { ${other}: {} }`,
    );
  return Object.fromEntries(
    known.map((number) => {
      const values = numbers[number];
      if (values === undefined) throw new Error(`${name}: no numbers.${number} in the call, want one per sample`);
      checkTimes(name, values, x, { what: `numbers.${number}` });
      return [number, sinusoidalEmbedding(values, channels, { ...config[number], backend: x.backend })];
    }),
  );
}
