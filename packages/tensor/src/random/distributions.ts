// Distributions from the random words of a draw, on the host in float32: the reference for the kernels, and draws on the host.

import { boxMuller } from "./boxMuller.ts";
import { type Draw, multiplyHigh, words } from "./philox.ts";

/** A draw whose numbers become scale · value + shift. */
export interface AffineDraw extends Draw {
  readonly scale: number;
  readonly shift: number;
}

/** A draw of `bound` integers from `low` on. */
export interface IntegerDraw extends Draw {
  readonly low: number;
  readonly bound: number;
}

/** A draw that is true where a number in [0, 2²⁴) is below `bound`. */
export interface TrialDraw extends Draw {
  readonly bound: number;
}

const { fround } = Math;

/** Uniform on the multiples of 2⁻²⁴ in [0, 1), then scaled and shifted. */
export function uniforms(draw: AffineDraw, size: number): Float32Array {
  return affine(
    Float32Array.from(words(draw, size), (word) => (word >>> 8) * 2 ** -24),
    draw,
  );
}

/** Standard normal, then scaled and shifted. */
export function normals(draw: AffineDraw, size: number): Float32Array {
  const pairs = words(draw, Math.ceil(size / 2) * 2);
  const values = new Float32Array(pairs.length);
  for (let i = 0; i < values.length; i += 2) values.set(boxMuller(pairs[i], pairs[i + 1]), i);
  return affine(values.subarray(0, size), draw);
}

/** Uniform integers ⌊word · bound / 2³²⌋ + low. Their probabilities are 1 / bound to within 2⁻³². */
export function integers(draw: IntegerDraw, size: number): Int32Array {
  return Int32Array.from(words(draw, size), (word) => draw.low + multiplyHigh(word, draw.bound));
}

/** −1 and 1, each with probability one half. */
export function signs(draw: Draw, size: number): Float32Array {
  return Float32Array.from(words(draw, size), (word) => (word >>> 31 === 0 ? 1 : -1));
}

/** 1 with probability bound / 2²⁴, else 0. */
export function trials(draw: TrialDraw, size: number): Uint32Array {
  return words(draw, size).map((word) => Number(word >>> 8 < draw.bound));
}

/** A probability as the `bound` of a trial. */
export function trialBound(probability: number): number {
  return Math.round(probability * 2 ** 24);
}

function affine(values: Float32Array, { scale, shift }: AffineDraw): Float32Array {
  return values.map((value) => fround(value * fround(scale)) + fround(shift));
}
