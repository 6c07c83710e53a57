// Which steps have to be of order 1: those to the data, and those in which σ falls far.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";

/** The levels at the ends of a step. */
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
 * Methods that ask the model within the step, or at its end, multiply the change of x̂₀, rounding included, by about σ / σ′ per stage:
 * by 1,600 from 20,000 to 13. By way of ε̂, the next x is a difference of numbers of that size. So these steps are Euler's by way of x̂₀
 * (`along`), which hardly changes at such σ: it is nearly the mean of the data.
 */
export function fallsFar({ from, to }: Ends): boolean {
  const sigma = sigmaOf(from);
  return sigma > 100 && sigmaOf(to) < sigma / 16;
}

/** Whether a step is Euler's: to the data, or one that falls far. */
export function isEulerStep(ends: Ends): boolean {
  return endsAtData(ends) || fallsFar(ends);
}
