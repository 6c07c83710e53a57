// A text as the numbers of its characters: what is trained on, what is held out, and what frequencies alone make of that.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { InputError } from "../inputError.ts";

/** A text in numbers. */
export interface Characters {
  /** The different characters, in the order of their code points; a character's number is its place. */
  readonly kinds: readonly string[];
  /** What is learned: the first nine tenths. */
  readonly train: Int32Array;
  /** What is held out. */
  readonly test: Int32Array;
  /** The SHA-256 digest of the text. */
  readonly digest: string;
}

/** More kinds of characters than these belong to no text that this command's network learns. */
const MOST_KINDS = 1000;

/** @throws InputError for files that cannot be read, are no UTF-8, or hold too short a text */
export function readCharacters(paths: readonly string[], length: number): Characters {
  const text = paths.map(readText).join("\n");
  const all = Array.from(text);
  const kinds = [...new Set(all)].sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0));
  const where = `--data ${paths.join(" --data ")}`;
  if (kinds.length < 2 || kinds.length > MOST_KINDS)
    throw new InputError(`${where}: ${kinds.length} different characters, want 2 to ${MOST_KINDS}`);
  const least = 10 * length;
  if (all.length < least) throw new InputError(`${where}: ${all.length} characters, want at least ${least}`);
  const numbers = new Map(kinds.map((kind, k) => [kind, k]));
  const values = Int32Array.from(all, (character) => numbers.get(character) ?? 0);
  const split = Math.floor(0.9 * values.length);
  const digest = createHash("sha256").update(text).digest("hex");
  return { kinds, train: values.subarray(0, split), test: values.subarray(split), digest };
}

function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new InputError(`--data ${path}: ${(error as Error).message}, want a text in UTF-8`);
  }
}

/** Bits per character of the held-out text by the frequencies of characters in the other, each counted once more than it is there. */
export function unigramBits({ kinds, train, test }: Characters): number {
  const counts = new Array<number>(kinds.length).fill(1);
  for (const value of train) counts[value]++;
  const total = train.length + kinds.length;
  return test.reduce((sum, value) => sum - Math.log2(counts[value] / total), 0) / test.length;
}
