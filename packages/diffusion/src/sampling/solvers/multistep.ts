// What solvers that look back have in common: the estimates that steps hand on, and how many of them a step may use.

import type { Tensor } from "@pkg/tensor";
import type { NoiseLevel } from "../../forward/level.ts";

/** The newest estimates, the newest first. What is kept of them is the memory of the step. */
export function newest(estimate: Tensor, memory: readonly Tensor[], count: number): Tensor[] {
  return [estimate, ...memory].slice(0, count);
}

/** The places of the newest `count` levels up to `index`, the newest first, on a scale where that is 0 and the next level 1. */
export function places(
  levels: readonly NoiseLevel[],
  index: number,
  count: number,
  coordinate: (level: NoiseLevel) => number,
): number[] {
  const start = coordinate(levels[index]);
  const step = coordinate(levels[index + 1]) - start;
  return Array.from({ length: count }, (_, k) => (coordinate(levels[index - k]) - start) / step);
}

/** The order of a step: no more than earlier estimates and, where the last steps are to be of lower order, than steps are left. */
export function orderAt(
  levels: readonly NoiseLevel[],
  index: number,
  {
    order,
    done,
    lowerOrderFinal,
  }: { readonly order: number; readonly done: number; readonly lowerOrderFinal: boolean },
): number {
  return Math.min(order, done + 1, lowerOrderFinal ? levels.length - 1 - index : order);
}
