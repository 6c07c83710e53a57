// Learning rates: numbers, or functions of the number of updates so far.

/** A learning rate as a function of the number of updates so far. */
export type LearningRate = number | ((step: number) => number);

/** @throws Error naming the step when a function gives what is no learning rate */
export function rateAt(lr: LearningRate, step: number): number {
  if (typeof lr === "number") return lr;
  const rate = lr(step);
  if (!isRate(rate)) throw new Error(`adamW: lr(${step}) is ${rate}, want a finite number ≥ 0`);
  return rate;
}

export function isRate(rate: unknown): boolean {
  return typeof rate === "number" && Number.isFinite(rate) && rate >= 0;
}

/** Grows linearly from 0 to `peak` over `steps` updates, then stays. */
export function warmup(peak: number, steps: number): (step: number) => number {
  check("warmup", peak, steps);
  return (step) => peak * Math.min(1, (step + 1) / Math.max(1, steps));
}

/** Falls linearly from `peak` to 0 over `steps` updates, then stays 0. */
export function linearDecay(peak: number, steps: number): (step: number) => number {
  check("linearDecay", peak, steps);
  return (step) => peak * Math.max(0, 1 - step / Math.max(1, steps));
}

function check(name: string, peak: number, steps: number): void {
  if (!isRate(peak)) throw new Error(`${name}: peak is ${peak}, want a finite number ≥ 0`);
  if (!(Number.isFinite(steps) && steps >= 0)) throw new Error(`${name}: steps is ${steps}, want a number ≥ 0`);
}
