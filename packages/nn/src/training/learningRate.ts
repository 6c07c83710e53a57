// Learning rates: numbers, or functions of the number of updates so far.

/** A learning rate, or a function from the number of updates so far to one. */
export type LearningRate = number | ((step: number) => number);

/**
 * The learning rate after `step` updates. @throws Error naming the step when the function gives a number that is not finite or
 * below 0
 */
export function rateAt(lr: LearningRate, step: number, name: string): number {
  if (typeof lr === "number") return lr;
  const rate = lr(step);
  if (!isRate(rate)) throw new Error(`${name}: lr(${step}) is ${rate}, want a finite number ≥ 0`);
  return rate;
}

/** Whether a value is a finite number ≥ 0. */
export function isRate(rate: unknown): boolean {
  return typeof rate === "number" && Number.isFinite(rate) && rate >= 0;
}

/**
 * The learning rate peak · min(1, (n + 1) / steps) of the update after n others: linear growth, then `peak`.
 * @param steps the length of the growth, ≥ 0
 * @throws Error for a peak that is no learning rate
 */
export function warmup(peak: number, steps: number): (step: number) => number {
  check("warmup", peak, steps);
  return (step) => peak * Math.min(1, (step + 1) / Math.max(1, steps));
}

/**
 * The learning rate peak · max(0, 1 − n / steps) of the update after n others: linear decay to 0.
 * @param steps the length of the decay, ≥ 0
 * @throws Error for a peak that is no learning rate
 */
export function linearDecay(peak: number, steps: number): (step: number) => number {
  check("linearDecay", peak, steps);
  return (step) => peak * Math.max(0, 1 - step / Math.max(1, steps));
}

function check(name: string, peak: number, steps: number): void {
  if (!isRate(peak)) throw new Error(`${name}: peak is ${peak}, want a finite number ≥ 0`);
  if (!(Number.isFinite(steps) && steps >= 0)) throw new Error(`${name}: steps is ${steps}, want a number ≥ 0`);
}
