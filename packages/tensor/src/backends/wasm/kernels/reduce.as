// out[o, c, i] = Σ x[o, r, i], or the largest, over r in chunk c of the middle axis: always in the same order.
import { element, firstLanes, largestLane, storeLanes, sumOfLanes } from "./memory";
import { splat } from "./functions";

@unmanaged class Sum {
  @inline apply(a: v128, b: v128): v128 { return f32x4.add(a, b); }
  @inline fold(a: v128): f32 { return sumOfLanes(a); }
}
@unmanaged class Largest {
  @inline apply(a: v128, b: v128): v128 { return f32x4.max(a, b); }
  @inline fold(a: v128): f32 { return largestLane(a); }
}

/** Rows [begin, end) of out, counted over o and c. */
// @ts-ignore: decorator
@inline
function reduce<F>(begin: i32, end: i32, out: usize, x: usize, reduced: i32, chunk: i32, inner: i32, identity: f32): void {
  const chunks = max(1, (reduced + chunk - 1) / chunk);
  for (let row = begin; row < end; row++) {
    const o = row / chunks;
    const first = (row - o * chunks) * chunk;
    const count = min(chunk, reduced - first);
    const from = element(x, (o * reduced + first) * inner);
    if (inner == 1) store<f32>(element(out, row), along<F>(from, count, identity));
    else across<F>(element(out, row * inner), from, count, inner, identity);
  }
}

/** All of a run. */
// @ts-ignore: decorator
@inline
function along<F>(from: usize, count: i32, identity: f32): f32 {
  const f = changetype<F>(0);
  let a = splat(identity), b = a, c = a, d = a;
  let left = count;
  for (; left >= 16; left -= 16) {
    a = f.apply(a, v128.load(from));
    b = f.apply(b, v128.load(from, 16));
    c = f.apply(c, v128.load(from, 32));
    d = f.apply(d, v128.load(from, 48));
    from += 64;
  }
  for (; left > 0; left -= 4) {
    a = f.apply(a, firstLanes(v128.load(from), left, splat(identity)));
    from += 16;
  }
  return f.fold(f.apply(f.apply(a, b), f.apply(c, d)));
}

/** Columns of `count` rows. */
// @ts-ignore: decorator
@inline
function across<F>(to: usize, from: usize, count: i32, inner: i32, identity: f32): void {
  const f = changetype<F>(0);
  const step = <usize>inner << 2;
  let i = 0;
  for (; i + 16 <= inner; i += 16) {
    let a = splat(identity), b = a, c = a, d = a;
    let at = element(from, i);
    for (let r = 0; r < count; r++) {
      a = f.apply(a, v128.load(at));
      b = f.apply(b, v128.load(at, 16));
      c = f.apply(c, v128.load(at, 32));
      d = f.apply(d, v128.load(at, 48));
      at += step;
    }
    const target = element(to, i);
    v128.store(target, a);
    v128.store(target, b, 16);
    v128.store(target, c, 32);
    v128.store(target, d, 48);
  }
  for (; i < inner; i += 4) {
    let a = splat(identity);
    let at = element(from, i);
    for (let r = 0; r < count; r++) {
      a = f.apply(a, v128.load(at));
      at += step;
    }
    storeLanes(element(to, i), a, inner - i);
  }
}

export function sum(begin: i32, end: i32, out: usize, x: usize, reduced: i32, chunk: i32, inner: i32): void {
  reduce<Sum>(begin, end, out, x, reduced, chunk, inner, 0);
}

export function largest(begin: i32, end: i32, out: usize, x: usize, reduced: i32, chunk: i32, inner: i32): void {
  reduce<Largest>(begin, end, out, x, reduced, chunk, inner, -Infinity);
}

/** 2⁻⁸⁰, as in ops/optimizer/globalNorm.ts. */
const FAR: f32 = 8.271806125530277e-25;

/** Chunks [begin, end) of x: out[first + c] = Σ x², and `all` elements later Σ (FAR · x)². */
export function squares(
  begin: i32, end: i32, out: usize, first: i32, all: i32, x: usize, size: i32, chunk: i32,
): void {
  for (let c = begin; c < end; c++) {
    const start = c * chunk;
    const count = min(chunk, size - start);
    let total = splat(0), far = total;
    for (let i = 0; i < count; i += 4) {
      const value = firstLanes(v128.load(element(x, start + i)), count - i, splat(0));
      const small = f32x4.mul(value, splat(FAR));
      total = f32x4.add(total, f32x4.mul(value, value));
      far = f32x4.add(far, f32x4.mul(small, small));
    }
    store<f32>(element(out, first + c), sumOfLanes(total));
    store<f32>(element(out, all + first + c), sumOfLanes(far));
  }
}

/** The root of the sum of `all` sums of squares, or of those after them where the first ones overflow; one row. */
export function norm_of_squares(_begin: i32, _end: i32, out: usize, sums: usize, all: i32): void {
  const total = along<Sum>(sums, all, 0);
  const overflows = (reinterpret<u32>(total) & 0x7f800000) == 0x7f800000;
  store<f32>(out, overflows ? sqrt<f32>(along<Sum>(element(sums, all), all, 0)) / FAR : sqrt<f32>(total));
}

/** out += how many of x's elements are NaN or infinite, by their bits. */
export function count_non_finite(begin: i32, end: i32, out: usize, x: usize, size: i32): void {
  const exponent = i32x4.splat(0x7f800000);
  let total = i32x4.splat(0);
  for (let i = 0; i < size; i += 4) {
    const bits = v128.and(firstLanes(v128.load(element(x, i)), size - i, splat(0)), exponent);
    total = i32x4.sub(total, i32x4.eq(bits, exponent)); // where equal, all bits are set: −1
  }
  const sum = i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1) + i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3);
  store<i32>(out, load<i32>(out) + sum);
}
