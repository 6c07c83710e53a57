// The levels of a step whose numbers a captured step reads anew, and which steps are of order 1 for where they lead.

import { perStep } from "@pkg/tensor";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
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

/** Whether a step leads to a level without noise. */
export function endsAtData(levels: readonly NoiseLevel[]): (index: number) => boolean {
  return (index) => levels[index + 1].noise === 0;
}

/**
 * Whether σ falls from above 100 to less than a sixteenth of it, as in the first steps on cosine, sigmoid and zero-terminal schedules.
 * Methods that ask the model within the step, or at its end, multiply by about σ / σ′ what x̂₀ changes by, rounding included, once a stage:
 * by 1,600 from 20,000 to 13; and moved by way of ε̂, x is a difference of numbers as large. Such steps are to be Euler's by way of x̂₀
 * (`along`), which hardly changes up there: it is nearly the mean of the data.
 */
export function fallsFar(levels: readonly NoiseLevel[]): (index: number) => boolean {
  return (index) => {
    const [sigma, after] = [levels[index], levels[index + 1]].map(sigmaOf);
    return sigma > 100 && after < sigma / 16;
  };
}

/** Whether a step is Euler's: to the data, or one that falls far. */
export function isEulerStep(levels: readonly NoiseLevel[]): (index: number) => boolean {
  const [isLast, isFar] = [endsAtData(levels), fallsFar(levels)];
  return (index) => isLast(index) || isFar(index);
}
