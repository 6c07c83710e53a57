// What the commands have to know of a network: its flags, its configuration, and what its weights say of that.

import type { Dit, DitConfig, InitOptions, Unet, UnetConfig } from "@pkg/nn";
import type { Shape } from "@pkg/tensor";
import type { GenericSchema } from "valibot";
import type { FlagName, FlagValues } from "../settings/flags.ts";

/** A configuration of any of them. */
export type NetworkConfig = UnetConfig | DitConfig;

/** Any of them. */
export type ImageNetwork = Unet | Dit;

/** Shapes of weights, by their paths. */
export type Shapes = ReadonlyMap<string, Shape>;

/** What of a configuration follows from the data, the labels and the objective. */
export type Given = Pick<NetworkConfig, "inChannels" | "classes" | "timeEmbedding" | "numbers">;

/** A kind of network. */
export interface Network<Config extends NetworkConfig = NetworkConfig> {
  /** As in "training a U-Net of 1000 weights". */
  readonly title: string;
  /** The flags that configure it alone. */
  readonly flags: readonly FlagName[];
  /** The configuration that these flags ask for, besides what is given. */
  configFrom(flags: FlagValues, given: Given): Config;
  /** What each of its flags would have to say for this configuration. */
  told(config: Config): Partial<Record<FlagName, unknown>>;
  /** @throws Error naming the field when the configuration is impossible */
  make(config: Config, init: InitOptions): ImageNetwork;
  /** The field that images of this size do not fit, and what it would have to be; undefined where they do. */
  misfit(config: Config, image: { readonly height: number; readonly width: number }): Misfit | undefined;
  /** What a header may say of its configuration. */
  readonly schema: GenericSchema<unknown, Config>;
  /**
   * Compares every field that shapes show, so that whatever is built next is no larger than the file.
   * @param compare refuses a field that differs from what was found
   */
  compare(config: Config, shapes: Shapes, compare: Compare): void;
}

/** A field, the flag that says it, and what would do. */
export interface Misfit {
  readonly field: string;
  readonly flag: FlagName;
  readonly wanted: string;
}

/** What compares fields of a configuration with those that weights show. */
export interface Compare {
  /** @param found what the weights show; undefined for none */
  same(field: string, given: unknown, found: unknown): void;
  /** @param largest of a field that shapes do not show, and that divides a number of channels */
  atMost(field: string, given: number, largest: number): void;
  /** @throws InputError: the weights of a group are fewer than the parts that their names tell of */
  enough(what: string, parts: number): void;
}

/** The number of different first groups that a pattern has among names. */
export function numbered(shapes: Shapes, pattern: RegExp): number {
  return new Set([...shapes.keys()].flatMap((name) => pattern.exec(name)?.[1] ?? [])).size;
}

/** The length of a tensor's last axis; 0 where it is not there. */
export function lastOf(shapes: Shapes, name: string): number {
  return shapes.get(name)?.at(-1) ?? 0;
}

/** The names of the extra numbers, sorted. */
export function numbersIn(shapes: Shapes): string[] {
  return [...shapes.keys()].flatMap((name) => /^numbers\.(.*)\.first\.weight$/.exec(name)?.[1] ?? []).sort();
}

/** The classes of a table of classes, whose last row is none of them. */
export function classesIn(shapes: Shapes): number | undefined {
  return shapes.has("classes.weight") ? (shapes.get("classes.weight")?.[0] ?? 0) - 1 : undefined;
}
