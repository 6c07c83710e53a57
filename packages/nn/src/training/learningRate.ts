// Learning rates: numbers, schedules as plain data, or functions of the number of updates so far.

import { wrongArgument } from "@pkg/tensor";

/**
 * A learning rate that depends on n, the number of updates so far. It is plain data, which JSON keeps; `linearDecay`, `cosineDecay`,
 * `inverseSqrt` and `warmup` make it.
 */
export type RateSchedule =
  | { readonly schedule: "linear" | "cosine"; readonly peak: number; readonly steps: number; readonly end: number }
  | { readonly schedule: "inverseSqrt"; readonly peak: number; readonly steps: number }
  | { readonly schedule: "warmup"; readonly rate: number | RateSchedule; readonly steps: number };

/** A learning rate: constant, a schedule, or a function from the number of updates so far to one. */
export type LearningRate = number | RateSchedule | ((step: number) => number);

/**
 * end + (peak − end) · max(0, 1 − n / steps): linear decay, and `end` from then on.
 * @param steps the length of the decay, ≥ 0
 * @throws Error for rates that are negative or not finite, and other steps
 */
export function linearDecay(peak: number, steps: number, end = 0): RateSchedule {
  return checked("linearDecay", { schedule: "linear", peak, steps, end });
}

/**
 * end + (peak − end) · (1 + cos(π min(1, n / steps))) / 2 (Loshchilov & Hutter 2017, eq. 5, without restarts), and `end` from then on.
 * @param steps the length of the decay, ≥ 0
 * @throws Error for rates that are negative or not finite, and other steps
 */
export function cosineDecay(peak: number, steps: number, end = 0): RateSchedule {
  return checked("cosineDecay", { schedule: "cosine", peak, steps, end });
}

/**
 * peak / √max(1, n / steps): constant for `steps` updates, then decay by the inverse square root (Karras et al. 2024, EDM2; with a
 * warm-up of as many steps Vaswani et al. 2017, eq. 3).
 * @param steps the updates before the decay, ≥ 0
 * @throws Error for a rate that is negative or not finite, and other steps
 */
export function inverseSqrt(peak: number, steps: number): RateSchedule {
  return checked("inverseSqrt", { schedule: "inverseSqrt", peak, steps });
}

/**
 * min(1, (n + 1) / steps) times another rate, which goes on meanwhile: `warmup(cosineDecay(1e-3, 10_000), 500)` ends after 10,000 updates.
 * @param rate a number for a constant rate after the growth
 * @param steps the length of the growth, ≥ 0
 * @throws Error for a rate that is negative, not finite or no schedule, and other steps
 */
export function warmup(rate: number | RateSchedule, steps: number): RateSchedule {
  return checked("warmup", { schedule: "warmup", rate, steps });
}

/**
 * The learning rate of the update after `step` others.
 * @param name whose rate it is, for errors
 * @throws Error naming the step when a function gives a number that is not finite or below 0, and for what is no rate
 */
export function rateAt(lr: LearningRate, step: number, name = "rateAt"): number {
  expectRate(name, lr);
  if (!(Number.isInteger(step) && step >= 0)) throw wrongArgument(name, "step", step, "an integer ≥ 0");
  if (typeof lr !== "function") return scheduled(lr, step);
  const rate: unknown = lr(step);
  if (!isRate(rate)) throw wrongArgument(name, `lr(${step})`, rate, RATE);
  return rate;
}

/** A learning rate in words: "0.001, by a cosine to 0 at step 10000, with a warm-up of 500 steps". */
export function describeRate(lr: LearningRate): string {
  if (typeof lr === "function") return "a function of the step";
  expectRate("describeRate", lr);
  return inWords(lr);
}

/** Refuses what is no learning rate. @throws Error naming `name`, the field of a schedule, its value and what was wanted */
export function expectRate(name: string, lr: unknown): asserts lr is LearningRate {
  if (typeof lr === "function") return;
  expectPlainRate(name, "lr", lr, `${RATE}, or a function of the step, or a schedule`);
}

const RATE = "a finite number ≥ 0";
const NAMES = ["linear", "cosine", "inverseSqrt", "warmup"] as const satisfies RateSchedule["schedule"][];

function isRate(rate: unknown): rate is number {
  return typeof rate === "number" && Number.isFinite(rate) && rate >= 0;
}

/** `at` is the value's place, such as "lr.rate". */
function expectPlainRate(name: string, at: string, value: unknown, wanted: string): void {
  if (typeof value !== "object" || value === null) {
    if (!isRate(value)) throw wrongArgument(name, at, value, wanted);
    return;
  }
  const given = value as Readonly<Record<string, unknown>>;
  const prefix = at === "" ? "" : `${at}.`;
  if (!NAMES.some((known) => known === given.schedule))
    throw wrongArgument(name, `${prefix}schedule`, given.schedule, `one of ${NAMES.join(", ")}`);
  for (const field of given.schedule === "warmup" ? [] : given.schedule === "inverseSqrt" ? ["peak"] : ["peak", "end"])
    if (!isRate(given[field])) throw wrongArgument(name, `${prefix}${field}`, given[field], RATE);
  if (given.schedule === "warmup") expectPlainRate(name, `${prefix}rate`, given.rate, `${RATE}, or a schedule`);
  if (!(Number.isFinite(given.steps) && Number(given.steps) >= 0))
    throw wrongArgument(name, `${prefix}steps`, given.steps, RATE);
}

function checked(name: string, schedule: RateSchedule): RateSchedule {
  expectPlainRate(name, "", schedule, RATE);
  return schedule;
}

function scheduled(rate: number | RateSchedule, n: number): number {
  if (typeof rate === "number") return rate;
  const steps = Math.max(1, rate.steps);
  switch (rate.schedule) {
    case "warmup":
      return scheduled(rate.rate, n) * Math.min(1, (n + 1) / steps);
    case "linear":
      return rate.end + (rate.peak - rate.end) * Math.max(0, 1 - n / steps);
    case "cosine":
      return rate.end + ((rate.peak - rate.end) * (1 + Math.cos(Math.PI * Math.min(1, n / steps)))) / 2;
    case "inverseSqrt":
      return rate.peak / Math.sqrt(Math.max(1, n / steps));
  }
}

function inWords(rate: number | RateSchedule): string {
  if (typeof rate === "number") return `${rate}`;
  switch (rate.schedule) {
    case "warmup":
      return `${inWords(rate.rate)}, with a warm-up of ${rate.steps} steps`;
    case "inverseSqrt":
      return `${rate.peak}, by the inverse square root from step ${rate.steps} on`;
    default:
      return `${rate.peak}, by ${rate.schedule === "linear" ? "a line" : "a cosine"} to ${rate.end} at step ${rate.steps}`;
  }
}
