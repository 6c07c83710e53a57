// The known noise schedules: linear, quadratic, scaled-linear, cosine, sigmoid, constant, and the rescaling to zero terminal SNR.

import { expectArguments } from "../arguments.ts";
import { checkSteps, fromBetas, type Schedule, type TableOptions } from "./schedule.ts";

/** The first β and the last, whatever the number of steps. */
export interface BetaRange extends TableOptions {
  /** The first β. Its default is that of each schedule. */
  readonly start?: number;
  /** The last β. Its default is that of each schedule. */
  readonly end?: number;
}

/**
 * β rises linearly (Ho et al. 2020, section 4). Ends are those of 1000 steps whatever `steps` is.
 * @throws Error, as all schedules, for steps that are no positive integer, or other numbers out of range, naming them
 */
export function linear(steps = 1000, options: BetaRange = {}): Schedule {
  expectArguments("linear", { options });
  const { start = 1e-4, end = 0.02, precision } = options;
  checkSteps("linear", steps);
  checkEnds("linear", { start, end });
  return fromBetas(linspace(start, end, steps, precision), { precision });
}

/** √β rises linearly between the square roots of linear's ends (the "quad" of Ho et al.'s and DDIM's code). */
export function quadratic(steps = 1000, options: BetaRange = {}): Schedule {
  expectArguments("quadratic", { options });
  const { start = 1e-4, end = 0.02, precision } = options;
  return rootLinear("quadratic", steps, { start, end, precision });
}

/** √β rises linearly, between the ends of latent diffusion (Rombach et al. 2022): `quadratic` with other ends. */
export function scaledLinear(steps = 1000, options: BetaRange = {}): Schedule {
  expectArguments("scaledLinear", { options });
  const { start = 0.00085, end = 0.012, precision } = options;
  return rootLinear("scaledLinear", steps, { start, end, precision });
}

/**
 * ᾱ follows cos² (Nichol & Dhariwal 2021, eq. 17), with β capped.
 * @param options offset: s, keeps the first β from vanishing; maxBeta: the cap, which the last steps reach
 */
export function cosine(steps = 1000, options: TableOptions & { offset?: number; maxBeta?: number } = {}): Schedule {
  expectArguments("cosine", { options });
  const { offset = 0.008, maxBeta = 0.999, precision } = options;
  checkSteps("cosine", steps);
  if (!(offset >= 0 && Number.isFinite(offset)))
    throw new Error(`cosine: offset is ${offset}, want a finite number from 0 on`);
  checkCap("cosine", maxBeta);
  return ofSignal(steps, (s) => Math.cos(((s + offset) / (1 + offset)) * (Math.PI / 2)) ** 2, { maxBeta, precision });
}

/** ᾱ falls as a sigmoid from `start` to `end`, stretched to [0, 1] (Jabri et al. 2022), with β capped. */
export function sigmoid(
  steps = 1000,
  options: TableOptions & { start?: number; end?: number; temperature?: number; maxBeta?: number } = {},
): Schedule {
  expectArguments("sigmoid", { options });
  const { start = -3, end = 3, temperature = 1, maxBeta = 0.999, precision } = options;
  checkSteps("sigmoid", steps);
  if (!(end > start && Number.isFinite(end - start)))
    throw new Error(`sigmoid: from ${start} to ${end}, want finite numbers, the second larger`);
  if (!(temperature > 0 && Number.isFinite(temperature)))
    throw new Error(`sigmoid: temperature is ${temperature}, want a positive number`);
  checkCap("sigmoid", maxBeta);
  const logistic = (x: number) => 1 / (1 + Math.exp(-x / temperature));
  const [high, low] = [logistic(end), logistic(start)];
  return ofSignal(steps, (s) => (high - logistic(s * (end - start) + start)) / (high - low), { maxBeta, precision });
}

/** The same β in every step. */
export function constant(steps = 1000, beta = 0.02, options: TableOptions = {}): Schedule {
  expectArguments("constant", { options });
  const { precision } = options;
  checkSteps("constant", steps);
  return fromBetas(new Float64Array(steps).fill(beta), { precision });
}

/**
 * The same schedule with √ᾱ shifted and stretched so that the last step holds no signal at all (Lin et al. 2024, algorithm 1).
 * Predict velocity or data with it: at the last step the noise says nothing of the data.
 */
export function zeroTerminalSnr(schedule: Schedule, options: TableOptions = {}): Schedule {
  expectArguments("zeroTerminalSnr", { schedule, options });
  const { precision } = options;
  const { steps, alphaBars } = schedule;
  if (steps < 2) throw new Error(`zeroTerminalSnr: a schedule of ${steps} steps, want at least two`);
  const roots = alphaBars.map(Math.sqrt);
  const [first, last] = [roots[0], roots[steps - 1]];
  if (!(last > 0 || roots.indexOf(0) === steps - 1) || first === last)
    throw new Error(`zeroTerminalSnr: √ᾱ from ${first} to ${last}, want ᾱ that falls, and to 0 in the last step alone`);
  const rescaled = roots.map((root) => (((root - last) * first) / (first - last)) ** 2);
  return fromBetas(
    rescaled.map((alphaBar, t) => 1 - alphaBar / (t === 0 ? 1 : rescaled[t - 1])),
    { precision },
  );
}

function rootLinear(name: string, steps: number, { start, end, precision }: BetaRange & Ends): Schedule {
  checkSteps(name, steps);
  checkEnds(name, { start, end });
  const roots = linspace(Math.sqrt(start), Math.sqrt(end), steps, precision);
  return fromBetas(
    roots.map((root) => root ** 2),
    { precision },
  );
}

interface Ends {
  readonly start: number;
  readonly end: number;
}

function checkEnds(name: string, ends: Ends): void {
  for (const [end, beta] of Object.entries(ends))
    if (!(beta > 0 && beta <= 1)) throw new Error(`${name}: ${end} is ${beta}, want a β in (0, 1]`);
}

function checkCap(name: string, maxBeta: number): void {
  if (!(maxBeta > 0 && maxBeta <= 1)) throw new Error(`${name}: maxBeta is ${maxBeta}, want a β in (0, 1]`);
}

/** β of each step from ᾱ as a function of the share of time gone by, capped. */
function ofSignal(
  steps: number,
  signal: (share: number) => number,
  { maxBeta, precision }: TableOptions & { readonly maxBeta: number },
): Schedule {
  return fromBetas(
    Float64Array.from({ length: steps }, (_, t) => Math.min(1 - signal((t + 1) / steps) / signal(t / steps), maxBeta)),
    { precision },
  );
}

/** n numbers in equal steps from one end to the other; in float32 from both ends to the middle, as PyTorch has it. */
function linspace(start: number, end: number, n: number, precision: TableOptions["precision"]): Float64Array {
  if (n === 1) return Float64Array.of(start);
  if (precision !== "float32") return Float64Array.from({ length: n }, (_, k) => start + (k * (end - start)) / (n - 1));
  const f32 = Math.fround;
  const [low, high] = [f32(start), f32(end)];
  const step = f32(f32(high - low) / (n - 1));
  return Float64Array.from({ length: n }, (_, k) =>
    k < n >> 1 ? f32(low + f32(step * k)) : f32(high - f32(step * (n - 1 - k))),
  );
}
