// The axes of a reduction as runs of neighbours, reduced or kept: what both backends' passes go through.

import type { Shape } from "../../shape.ts";

/** Neighbouring axes that are all reduced, or all kept, as one; axes of size 1 belong to either. */
export function runsOf(shape: Shape, axes: readonly number[]): { size: number; reduced: boolean }[] {
  const runs: { size: number; reduced: boolean }[] = [];
  for (const [k, size] of shape.entries()) {
    const reduced = axes.includes(k);
    const last = runs.at(-1);
    if (last && (last.reduced === reduced || size === 1)) last.size *= size;
    else runs.push({ size, reduced });
  }
  return runs.some((run) => run.reduced) ? runs : [...runs, { size: 1, reduced: true }];
}
