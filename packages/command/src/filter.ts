// What --filter chooses: entries whose text contains it, in capitals or not; and that it chooses something.
import { InputError } from "./inputError.ts";

/** Whether a text contains what was asked for. */
export function contains(text: string, filter: string): boolean {
  return text.toLowerCase().includes(filter.toLowerCase());
}

/** @throws InputError when no text contains what was asked for: a run of nothing would pass */
export function expectSome(filter: string, texts: readonly string[]): void {
  if (texts.some((text) => contains(text, filter))) return;
  throw new InputError(
    `--filter ${filter}: nothing contains it, want a part of one of ${[...new Set(texts)].join(", ")}`,
  );
}
