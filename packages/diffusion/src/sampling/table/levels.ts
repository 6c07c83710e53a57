// Which steps are of order 1 for where they lead.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";

/** What tells where a step leads. */
interface Ends {
  readonly from: NoiseLevel;
  readonly to: NoiseLevel;
}

/** Whether a step leads to a level without noise. */
export function endsAtData({ to }: Ends): boolean {
  return to.noise === 0;
}

/**
 * Whether σ falls from above 100 to less than a sixteenth of it, as in the first steps on cosine, sigmoid and zero-terminal schedules.
 * Methods that ask the model within the step, or at its end, multiply by about σ / σ′ what x̂₀ changes by, rounding included, once a stage:
 * by 1,600 from 20,000 to 13; and moved by way of ε̂, x is a difference of numbers as large. Such steps are to be Euler's by way of x̂₀
 * (`along`), which hardly changes up there: it is nearly the mean of the data.
 */
export function fallsFar({ from, to }: Ends): boolean {
  const sigma = sigmaOf(from);
  return sigma > 100 && sigmaOf(to) < sigma / 16;
}

/** Whether a step is Euler's: to the data, or one that falls far. */
export function isEulerStep(ends: Ends): boolean {
  return endsAtData(ends) || fallsFar(ends);
}
