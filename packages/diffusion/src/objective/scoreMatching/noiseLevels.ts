// How the noise levels of annealed score matching are chosen: the techniques of Song & Ermon 2020 (NCSNv2). The levels themselves,
// a geometric sequence, are `exponential` of sigmas.ts.

import { nonFiniteCount, stack, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { sampleSize } from "../perSample.ts";

/**
 * The largest distance between two of the samples, which σ₁ should be about (technique 1): then Langevin dynamics gets from any
 * mode to any other.
 * @param x [count, ...], at least two samples
 * @returns the distance, in x's unit
 * @throws Error for fewer than two samples, and samples that are not finite, with the number of such elements
 */
export async function largestDistance(x: Tensor): Promise<number> {
  expectArguments("largestDistance", { x });
  const [count] = x.shape;
  if (!(count >= 2)) throw new Error(`largestDistance: ${count} samples, want at least two`);
  let largest = 0;
  for (let from = 0; from < count; from += BLOCK) {
    const read = tidy(() => {
      const rows = x.reshape([count, sampleSize(x)]);
      // Near the mean the cross terms cancel the fewest digits.
      const centred = rows.sub(rows.mean(0));
      const some = centred.slice([from, Math.min(count, from + BLOCK)]);
      const lengths = centred.square().sum(1);
      const someLengths = some.square().sum(1, { keepAxes: true });
      const squared = some.matmul(centred.transpose()).mul(-2).add(lengths).add(someLengths);
      return stack([squared.max(), nonFiniteCount([x]).cast("float32")]);
    });
    const [squared, faulty] = await read.data();
    read.dispose();
    if (faulty > 0)
      throw new Error(`largestDistance: ${faulty} elements of the samples are NaN or infinite, want finite ones`);
    if (!Number.isFinite(squared)) throw new Error(`largestDistance: its square is ${squared}, want smaller samples`);
    largest = Math.max(largest, squared);
  }
  return Math.sqrt(Math.max(0, largest));
}

/** Samples compared with all others at once. */
const BLOCK = 512;

/**
 * How much of level σ lies where level γ σ has its mass: Φ(√(2d)(γ − 1) + 3γ) − Φ(√(2d)(γ − 1) − 3γ), 0.997 at γ = 1 (technique 2).
 * @param ratio γ = σᵢ₋₁ / σᵢ, at least 1
 * @param dimensions d, of the data
 */
export function levelOverlap(ratio: number, dimensions: number): number {
  if (!(ratio >= 1)) throw new Error(`levelOverlap: ratio is ${ratio}, want a number ≥ 1`);
  checkDimensions("levelOverlap", dimensions);
  const distance = Math.sqrt(2 * dimensions) * (ratio - 1);
  return normalMass(distance - 3 * ratio, distance + 3 * ratio);
}

/**
 * γ at which neighbouring levels overlap by a half (technique 2). Infinite in up to four dimensions, where the levels always overlap
 * by more.
 */
export function levelRatio(dimensions: number): number {
  checkDimensions("levelRatio", dimensions);
  if (dimensions <= 4) return Number.POSITIVE_INFINITY;
  let [low, high] = [1, 64]; // at d = 5 it is 19.5, and falls from there
  for (let k = 0; k < 60; k++) {
    const middle = (low + high) / 2;
    if (levelOverlap(middle, dimensions) > 0.5) low = middle;
    else high = middle;
  }
  return low;
}

/**
 * The number of levels, ends included, that takes σ from `largest` to `smallest` in ratios of at most `levelRatio` (technique 2); at
 * least two.
 */
export function levelCount(largest: number, smallest: number, dimensions: number): number {
  checkSigmas("levelCount", [largest, smallest]);
  return Math.max(2, 1 + Math.ceil(Math.log(largest / smallest) / Math.log(levelRatio(dimensions))));
}

/**
 * ε, the step of annealed Langevin dynamics at the smallest level (τᵢ = ε σᵢ² / σ_L²), for which the variance of the samples comes
 * closest to the level's own (technique 4): with η = ε / σ_L², r = γ² and r ← (1 − η)² r + 2η repeated, that of the smallest |r − 1|.
 * @param smallest σ_L
 * @param ratio γ = σᵢ₋₁ / σᵢ, above 1
 * @param steps n, a level
 */
export function annealedStep(smallest: number, ratio: number, steps: number): number {
  checkSigma("annealedStep", smallest);
  if (!(ratio > 1 && Number.isFinite(ratio)))
    throw new Error(`annealedStep: ratio is ${ratio}, want a finite number above 1`);
  if (!(Number.isInteger(steps) && steps > 0)) throw new Error(`annealedStep: ${steps} steps, want a positive integer`);
  const excess = (eta: number) => {
    const limit = 2 / (2 - eta);
    return (1 - eta) ** (2 * steps) * (ratio ** 2 - limit) + limit;
  };
  // Golden section: r is above 1 everywhere, falls from γ² and rises to 2 at η = 1.
  let [low, high] = [0, 1];
  const golden = (Math.sqrt(5) - 1) / 2;
  for (let k = 0; k < 80; k++) {
    const [left, right] = [high - golden * (high - low), low + golden * (high - low)];
    if (excess(left) < excess(right)) high = right;
    else low = left;
  }
  return ((low + high) / 2) * smallest ** 2;
}

/** @throws Error unless σ is a finite number above 0 */
export function checkSigma(name: string, sigma: number): void {
  if (!(sigma > 0 && Number.isFinite(sigma))) throw new Error(`${name}: σ is ${sigma}, want a finite number above 0`);
}

/** @throws Error unless all levels are above 0 and each is below the one before */
export function checkSigmas(name: string, sigmas: readonly number[]): void {
  if (sigmas.length === 0) throw new Error(`${name}: no noise levels, want at least one`);
  for (const [i, sigma] of sigmas.entries()) {
    checkSigma(name, sigma);
    if (i > 0 && sigma >= sigmas[i - 1])
      throw new Error(`${name}: σ is ${sigma} after ${sigmas[i - 1]}, want levels that fall`);
  }
}

function checkDimensions(name: string, dimensions: number): void {
  if (!(Number.isInteger(dimensions) && dimensions > 0))
    throw new Error(`${name}: ${dimensions} dimensions, want a positive integer`);
}

/** The probability of N(0, 1) between two numbers, by Simpson's rule on the density, to about 1e-10. */
function normalMass(from: number, to: number): number {
  const [low, high] = [Math.max(from, -9), Math.min(to, 9)];
  if (low >= high) return 0;
  const pieces = 2000;
  const width = (high - low) / pieces;
  let sum = 0;
  for (let k = 0; k <= pieces; k++) {
    const weight = k === 0 || k === pieces ? 1 : 2 + 2 * (k % 2);
    sum += weight * Math.exp(-((low + k * width) ** 2) / 2);
  }
  return (sum * width) / 3 / Math.sqrt(2 * Math.PI);
}
