// Who is told of every op that has run.

import type { Op } from "./op.ts";
import type { Tensor } from "./tensor.ts";

/** Is told of every op that has run. */
export type Observer = (op: Op<unknown>, inputs: readonly Tensor[], outputs: readonly Tensor[]) => void;

let observer: Observer | null = null;

/** The one who is told, if anybody is. */
export function currentObserver(): Observer | null {
  return observer;
}

/** Has `next` told of every op from now on; returns who was told before. */
export function observe(next: Observer | null): Observer | null {
  const before = observer;
  observer = next;
  return before;
}
