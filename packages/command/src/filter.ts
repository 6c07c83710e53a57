// --filter: the entries whose text contains it. A filter that no entry contains is refused.
import { InputError } from "./inputError.ts";

/** Whether a text contains the filter, in any case. */
export function contains(text: string, filter: string): boolean {
  return text.toLowerCase().includes(filter.toLowerCase());
}

/** Refuses a filter that no text contains: a run of nothing would pass. @throws InputError listing the texts */
export function expectSome(filter: string, texts: readonly string[]): void {
  if (texts.some((text) => contains(text, filter))) return;
  throw new InputError(
    `--filter ${filter}: nothing contains it, want a part of one of ${[...new Set(texts)].join(", ")}`,
  );
}
