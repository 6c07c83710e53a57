// What a checkpoint of a text's training holds beside tensors, and the schema that every such header passes first.

import type { RandomState } from "@pkg/tensor";
import * as v from "valibot";
import { InputError } from "../inputError.ts";
import { OPTIMIZER_NAMES, type OptimizerName } from "../settings/optimizers.ts";

/** What must be the same for a resumed run to continue it. */
export interface TextSettings {
  /** Characters that are learned at once. */
  readonly length: number;
  readonly channels: number;
  readonly depth: number;
  readonly heads: number;
  /** Parts of the text a step. */
  readonly batch: number;
  readonly lr: number;
  readonly optimizer: OptimizerName;
  readonly seed: number;
}

/** What is not a tensor. */
export interface TextHeader {
  readonly format: 1;
  readonly settings: TextSettings;
  /** The SHA-256 digest of the text. */
  readonly text: string;
  /** Updates done. */
  readonly step: number;
  /** The stream that draws times and masks. */
  readonly rng: RandomState;
}

const count = (most: number) =>
  v.custom<number>((x) => Number.isInteger(x) && Number(x) >= 1 && Number(x) <= most, `an integer in [1, ${most}]`);
const whole = v.custom<number>((x) => Number.isSafeInteger(x) && Number(x) >= 0, "an integer from 0");

const HEADER = v.strictObject({
  format: v.literal(1, "1"),
  settings: v.strictObject({
    length: count(4096),
    channels: count(4096),
    depth: count(64),
    heads: count(64),
    batch: count(65_536),
    lr: v.custom<number>((x) => typeof x === "number" && x >= 0 && x <= 1, "a number in [0, 1]"),
    optimizer: v.picklist(OPTIMIZER_NAMES, OPTIMIZER_NAMES.join(" or ")),
    seed: whole,
  }),
  text: v.string(),
  step: whole,
  rng: v.looseObject({ generator: v.literal("philox4x32-10", "philox4x32-10") }),
}) satisfies v.GenericSchema<unknown, TextHeader>;

/** @throws InputError naming the first field that is missing, unknown or out of range */
export function parseTextHeader(path: string, text: string | undefined): TextHeader {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), HEADER), text, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const field = v.getDotPath(issue) ?? "metadata";
  throw new InputError(`${path}: ${field}: ${issue.message}, want a checkpoint written by text`);
}
