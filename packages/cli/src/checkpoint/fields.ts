// Schemas of the fields that headers of checkpoints are made of. Each says what it wants.

import type { SinusoidOptions } from "@pkg/nn";
import * as v from "valibot";

export const number = (low: number, high: number, wanted = `a number in [${low}, ${high}]`) =>
  v.custom<number>((x) => typeof x === "number" && x >= low && x <= high, wanted);

export const integer = (low: number, high: number) =>
  v.custom<number>(
    (x) => Number.isInteger(x) && Number(x) >= low && Number(x) <= high,
    high === Number.MAX_SAFE_INTEGER ? `an integer from ${low}` : `an integer in [${low}, ${high}]`,
  );

export const count = integer(1, Number.MAX_SAFE_INTEGER);

export const rate = v.custom<number>((x) => typeof x === "number" && x >= 0 && x < 1, "a number in [0, 1)");

export const truth = v.boolean("true or false");

/** One of some words. */
export const oneOf = <const Word extends string>(words: readonly Word[]) => v.picklist(words, words.join(" or "));

const finite = v.custom<number>((x) => Number.isFinite(x), "a finite number");

/** How a network embeds times, or another number. */
export const sinusoid = v.strictObject({
  maxPeriod: v.exactOptional(finite),
  order: v.exactOptional(oneOf(["cosFirst", "sinFirst"])),
  shift: v.exactOptional(finite),
  scale: v.exactOptional(finite),
}) satisfies v.GenericSchema<unknown, SinusoidOptions>;
