// The levels of a step whose numbers a captured step reads anew.

import { perStep } from "@pkg/tensor";
import type { NoiseLevel } from "../../forward/level.ts";
import type { SamplerCall } from "../sampler.ts";

/** Where a step begins, and where it leads; live, as `liveLevel` has it. */
export function stepLevels(
  levels: readonly NoiseLevel[],
  live: SamplerCall["live"],
): readonly [level: NoiseLevel, next: NoiseLevel] {
  return [liveLevel(() => levels[live.index]), liveLevel(() => levels[live.index + 1])];
}

/**
 * A level found anew at each step: its numbers may be read in `perStep`, in functions handed to `weightedSum` and `tensor`, and in
 * `path.denoise` and its like, which do so there.
 */
export function liveLevel(compute: () => NoiseLevel): NoiseLevel {
  return perStep(() => ({ ...compute() })); // a copy, since replays write into it
}
