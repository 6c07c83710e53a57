// What multistep solvers share: the estimates that a step hands to the next, and how many of them a step may use.

import type { NoiseLevel } from "../../forward/level.ts";
import { kept, type StepPlace } from "./step.ts";

/** The names of the newest estimates, the newest first: the step's own, and those in memory. The next step gets these. */
export function newest(estimate: string, { remembered }: StepPlace, count: number): string[] {
  return [estimate, ...Array.from({ length: remembered }, (_, k) => kept(k))].slice(0, count);
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

/** The order of a step: at most the number of estimates and, with `lowerOrderFinal`, the number of steps that are left. */
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
