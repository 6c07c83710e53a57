// Functions of whole rows: softmax, its logarithm, log Σ e^x, and the two steps of attention between its products.
import { exp4, log4, splat } from "./functions";
import { element, firstLanes, largestLane, storeLanes, sumOfLanes } from "./memory";

/** max(scale · x) over a row. */
function peakOf(x: usize, length: i32, scale: v128): f32 {
  let peak = splat(-Infinity), other = peak;
  let i = 0;
  for (; i + 8 <= length; i += 8) {
    peak = f32x4.pmax(peak, f32x4.mul(scale, v128.load(element(x, i))));
    other = f32x4.pmax(other, f32x4.mul(scale, v128.load(element(x, i + 4))));
  }
  for (; i < length; i += 4) {
    const value = f32x4.mul(scale, v128.load(element(x, i)));
    peak = f32x4.pmax(peak, firstLanes(value, length - i, splat(-Infinity)));
  }
  return largestLane(f32x4.pmax(peak, other));
}

/** Σ e^(scale · x − peak) over a row, whose terms are stored in `to` unless that is 0. */
function sumExp(to: usize, x: usize, length: i32, scale: v128, peak: v128): f32 {
  let total = splat(0);
  let i = 0;
  // Four vectors share the constants of the exponential.
  for (; i + 16 <= length; i += 16) {
    const a = exp4(f32x4.sub(f32x4.mul(scale, v128.load(element(x, i))), peak));
    const b = exp4(f32x4.sub(f32x4.mul(scale, v128.load(element(x, i + 4))), peak));
    const c = exp4(f32x4.sub(f32x4.mul(scale, v128.load(element(x, i + 8))), peak));
    const d = exp4(f32x4.sub(f32x4.mul(scale, v128.load(element(x, i + 12))), peak));
    total = f32x4.add(total, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
    if (to == 0) continue;
    v128.store(element(to, i), a);
    v128.store(element(to, i + 4), b);
    v128.store(element(to, i + 8), c);
    v128.store(element(to, i + 12), d);
  }
  for (; i < length; i += 4) {
    const value = exp4(f32x4.sub(f32x4.mul(scale, v128.load(element(x, i))), peak));
    if (to != 0) storeLanes(element(to, i), value, length - i);
    total = f32x4.add(total, firstLanes(value, length - i, splat(0)));
  }
  return sumOfLanes(total);
}

// @ts-ignore: decorator
@inline
function logOf(x: f32): f32 {
  return f32x4.extract_lane(log4(splat(x)), 0);
}

/** e^(scale · x) / Σ e^(scale · x) in each row of `length`; the logarithm of the sum in lse unless that is 0. x may be out. */
export function softmax(begin: i32, end: i32, out: usize, lse: usize, x: usize, length: i32, scale: f32): void {
  const factor = splat(scale);
  for (let row = begin; row < end; row++) {
    const from = element(x, row * length);
    const to = element(out, row * length);
    const peak = peakOf(from, length, factor);
    const total = sumExp(to, from, length, factor, splat(peak));
    const inverse = splat(1 / total);
    for (let i = 0; i < length; i += 4) {
      storeLanes(element(to, i), f32x4.mul(v128.load(element(to, i)), inverse), length - i);
    }
    if (lse != 0) store<f32>(element(lse, row), peak + logOf(total));
  }
}

/** x − log Σ e^x. */
export function log_softmax(begin: i32, end: i32, out: usize, x: usize, length: i32): void {
  for (let row = begin; row < end; row++) {
    const from = element(x, row * length);
    const to = element(out, row * length);
    const peak = splat(peakOf(from, length, splat(1)));
    const rest = splat(logOf(sumExp(0, from, length, splat(1), peak)));
    for (let i = 0; i < length; i += 4) {
      const value = f32x4.sub(f32x4.sub(v128.load(element(from, i)), peak), rest);
      storeLanes(element(to, i), value, length - i);
    }
  }
}

export function log_sum_exp(begin: i32, end: i32, out: usize, x: usize, length: i32): void {
  for (let row = begin; row < end; row++) {
    const from = element(x, row * length);
    const peak = peakOf(from, length, splat(1));
    const sum = abs<f32>(peak) < Infinity
      ? peak + logOf(sumExp(0, from, length, splat(1), splat(peak)))
      : besideInfinity(from, length, peak);
    store<f32>(element(out, row), sum);
  }
}

/** An infinite largest element, which the sum is as well; NaN if an element is. */
function besideInfinity(x: usize, length: i32, peak: f32): f32 {
  for (let i = 0; i < length; i++) {
    const value = load<f32>(element(x, i));
    if (value != value) return value;
  }
  return peak;
}

/** In place: s becomes p = e^(scale · s − lse), and dp becomes scale · p · (dp − delta), in each row of `length`. */
export function attention_slopes(
  begin: i32, end: i32, s: usize, dp: usize, lse: usize, delta: usize, length: i32, scale: f32,
): void {
  const factor = splat(scale);
  for (let row = begin; row < end; row++) {
    const rest = v128.load_splat<f32>(element(lse, row));
    const mean = v128.load_splat<f32>(element(delta, row));
    const p = element(s, row * length);
    const slope = element(dp, row * length);
    let i = 0;
    for (; i + 16 <= length; i += 16) {
      slopesOfFour(i, p, slope, factor, rest, mean, length);
      slopesOfFour(i + 4, p, slope, factor, rest, mean, length);
      slopesOfFour(i + 8, p, slope, factor, rest, mean, length);
      slopesOfFour(i + 12, p, slope, factor, rest, mean, length);
    }
    for (; i < length; i += 4) slopesOfFour(i, p, slope, factor, rest, mean, length);
  }
}

// @ts-ignore: decorator
@inline
function slopesOfFour(i: i32, p: usize, slope: usize, factor: v128, rest: v128, mean: v128, length: i32): void {
  const weight = exp4(f32x4.sub(f32x4.mul(factor, v128.load(element(p, i))), rest));
  const difference = f32x4.sub(v128.load(element(slope, i)), mean);
  storeLanes(element(slope, i), f32x4.mul(f32x4.mul(factor, weight), difference), length - i);
  storeLanes(element(p, i), weight, length - i);
}
