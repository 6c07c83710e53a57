// Laws by which continuous times t in [0, 1] are drawn for training flows, with their densities.

import type { RandomStream } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { type Interpolant, linearInterpolant } from "./interpolant.ts";

/** A distribution of t in [0, 1], from data (0) to noise (1). */
export interface TimeLaw {
  /** One t per sample, [batch], in [0, 1]: the same numbers for every backend. One draw of rng. */
  draw(batch: number, rng: RandomStream): Float32Array;
  /** p(t), which integrates to 1 over [0, 1]. */
  density(t: number): number;
}

/** t uniform in [0, 1]. */
export function uniformLaw(): TimeLaw {
  return { draw: (batch, rng) => drawn("uniformLaw", "uniform", batch, rng, (u) => u), density: on01(() => 1) };
}

/**
 * t = sigmoid(m + s n) with n ~ N(0, 1): most often in the middle (Esser et al. 2024, eq. 19).
 * @param options mean: m, 0 by default, above 0 for more noise; deviation: s, 1 by default
 * @throws Error for a mean that is not finite, and a deviation that is not positive
 * @example
 * ```ts
 * import { logitNormalLaw } from "@pkg/diffusion";
 * import { randomStream } from "@pkg/tensor";
 *
 * const law = logitNormalLaw();
 * console.log(law.draw(4, randomStream(0)).every((t) => t > 0 && t < 1)); // true
 * console.log(law.density(0.5).toFixed(3)); // 1.596
 * ```
 */
export function logitNormalLaw(options: { readonly mean?: number; readonly deviation?: number } = {}): TimeLaw {
  expectArguments("logitNormalLaw", { options });
  const { mean = 0, deviation = 1 } = options;
  checkNormal("logitNormalLaw", mean, deviation);
  return {
    draw: (batch, rng) => drawn("logitNormalLaw", "normal", batch, rng, (n) => sigmoid(mean + deviation * n)),
    density: on01((t) =>
      t === 0 || t === 1 ? 0 : normalDensity(Math.log(t / (1 - t)), mean, deviation) / (t * (1 - t)),
    ),
  };
}

/** The largest s of the mode law: from there on t would not fall with u. */
const LARGEST_MODE = 2 / (Math.PI - 2);

/**
 * t = 1 − u − s (cos²(π u / 2) − 1 + u) with u uniform: heavier in the middle for s above 0, at the ends for s below, and never 0 (Esser
 * et al. 2024, eq. 20).
 * @param options scale: s in [−1, 2 / (π − 2)], 1.29 by default, as in diffusers' trainers; 0 is the uniform law
 * @throws Error for another scale
 */
export function modeLaw(options: { readonly scale?: number } = {}): TimeLaw {
  expectArguments("modeLaw", { options });
  const { scale = 1.29 } = options;
  if (!(scale >= -1 && scale <= LARGEST_MODE))
    throw new Error(`modeLaw: scale is ${scale}, want a number in [−1, ${LARGEST_MODE}], 2 / (π − 2)`);
  const timeOf = (u: number) => 1 - u - scale * (Math.cos((Math.PI / 2) * u) ** 2 - 1 + u);
  return {
    draw: (batch, rng) => drawn("modeLaw", "uniform", batch, rng, timeOf),
    density: on01((t) => {
      let [low, high] = [0, 1]; // t falls with u
      for (let k = 0; k < 60; k++) {
        const middle = (low + high) / 2;
        if (timeOf(middle) > t) low = middle;
        else high = middle;
      }
      return 1 / Math.abs(1 + scale - scale * (Math.PI / 2) * Math.sin(Math.PI * low));
    }),
  };
}

/** t = 1 − 1 / (tan(π u / 2) + 1) with u uniform, so that log SNR is spread as on the cosine schedule (Esser et al. 2024, eq. 21). */
export function cosMapLaw(): TimeLaw {
  return {
    draw: (batch, rng) => drawn("cosMapLaw", "uniform", batch, rng, (u) => 1 - 1 / (Math.tan((Math.PI / 2) * u) + 1)),
    density: on01((t) => 2 / (Math.PI - 2 * Math.PI * t + 2 * Math.PI * t ** 2)),
  };
}

/** How log SNR = 2 log(α / σ) is drawn, and on which interpolant. */
export type LogSnrOptions = (
  | { /** Its mean, by default 0. */ readonly mean?: number /** Its standard deviation. */; readonly deviation: number }
  | { /** The least. */ readonly min: number /** The largest. */; readonly max: number }
) & {
  /** Default: `linearInterpolant()`. */
  readonly interpolant?: Interpolant;
};

/**
 * The t at which log SNR = 2 log(α / σ) is normal, as in EDM's loss (ln σ = −λ / 2: Karras et al. 2022), or uniform (Kingma & Gao 2023).
 * @throws Error for numbers that are not finite, a deviation that is not positive, and ends that do not rise
 */
export function logSnrLaw(options: LogSnrOptions): TimeLaw {
  expectArguments("logSnrLaw", { options });
  const { interpolant = linearInterpolant() } = options;
  expectArguments("logSnrLaw", { interpolant });
  const timeOf = (lambda: number) => interpolant.time(Math.exp(-lambda / 2));
  /** p(λ) |dλ/dt|. */
  const densityBy = (ofLambda: (lambda: number) => number) =>
    on01((t) => {
      const { signal, noise, rates } = interpolant.level(t);
      if (signal === 0 || noise === 0) return 0;
      return ofLambda(2 * Math.log(signal / noise)) * 2 * Math.abs(rates.signal / signal - rates.noise / noise);
    });
  if ("deviation" in options) {
    const { mean = 0, deviation } = options;
    checkNormal("logSnrLaw", mean, deviation);
    return {
      draw: (batch, rng) => drawn("logSnrLaw", "normal", batch, rng, (n) => timeOf(mean + deviation * n)),
      density: densityBy((lambda) => normalDensity(lambda, mean, deviation)),
    };
  }
  const { min, max } = options;
  if (!(min < max && Number.isFinite(max - min)))
    throw new Error(`logSnrLaw: min is ${min} and max ${max}, want finite numbers, the second larger, or a deviation`);
  return {
    draw: (batch, rng) => drawn("logSnrLaw", "uniform", batch, rng, (u) => timeOf(min + (max - min) * u)),
    density: densityBy((lambda) => (lambda >= min && lambda <= max ? 1 / (max - min) : 0)),
  };
}

/**
 * The law of t′ = s t / (1 + (s − 1) t) for t by another law: `resolutionShift` tells s for images larger than those that a law was found for
 * (Esser et al. 2024, eq. 23).
 * @throws Error for a shift that is not positive
 */
export function shiftedLaw(law: TimeLaw, shift: number): TimeLaw {
  expectArguments("shiftedLaw", { law });
  checkShift("shiftedLaw", shift);
  return {
    draw: (batch, rng) => law.draw(batch, rng).map((t) => shiftedTime(t, shift)),
    density: on01((t) => law.density(shiftedTime(t, 1 / shift)) * (shift / (t + shift * (1 - t)) ** 2)),
  };
}

/**
 * s = √(m / n): as much noise for m pixels as n have at the same t (Esser et al. 2024, section 5.3.2).
 * @param pixels m, height times width of the images
 * @param base n, of those at which s is 1
 * @throws Error unless both are positive
 */
export function resolutionShift(pixels: number, base: number): number {
  for (const [what, value] of Object.entries({ pixels, base }))
    if (!(value > 0 && Number.isFinite(value)))
      throw new Error(`resolutionShift: ${what} is ${value}, want a positive number`);
  return Math.sqrt(pixels / base);
}

/**
 * t′ = s t / (1 + (s − 1) t): more noise for s above 1 (Esser et al. 2024, eq. 23).
 * @param shift s, positive; `resolutionShift` tells it for a resolution
 */
export function shiftedTime(t: number, shift: number): number {
  if (!isTime(t)) throw new Error(`shiftedTime: t is ${t}, want a number in [0, 1]`);
  checkShift("shiftedTime", shift);
  return t === 1 ? 1 : (shift * t) / (1 + (shift - 1) * t); // at 1 a small shift is lost beside it
}

/** The times that a function makes of uniform or normal numbers, one draw of rng. */
function drawn(
  name: string,
  kind: "uniform" | "normal",
  batch: number,
  rng: RandomStream,
  timeOf: (value: number) => number,
): Float32Array {
  expectArguments(name, { rng });
  return Float32Array.from(rng.host[kind]([batch]), timeOf);
}

/** A density that is 0 outside [0, 1]. */
function on01(density: (t: number) => number): (t: number) => number {
  return (t) => (isTime(t) ? density(t) : 0);
}

function normalDensity(x: number, mean: number, deviation: number): number {
  return Math.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * Math.sqrt(2 * Math.PI));
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function checkNormal(name: string, mean: number, deviation: number): void {
  if (!Number.isFinite(mean)) throw new Error(`${name}: mean is ${mean}, want a finite number`);
  if (!(deviation > 0 && Number.isFinite(deviation)))
    throw new Error(`${name}: deviation is ${deviation}, want a positive number`);
}

function checkShift(name: string, shift: number): void {
  if (!(shift > 0 && Number.isFinite(shift))) throw new Error(`${name}: shift is ${shift}, want a positive number`);
}

function isTime(t: number): boolean {
  return typeof t === "number" && t >= 0 && t <= 1;
}
