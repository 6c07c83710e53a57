// Functions of four float32 at once: exponential, logarithm, sine, cosine, tanh, error function; within 2 ulp where no more is said.

// @ts-ignore: decorator
@inline
export function splat(x: f32): v128 {
  return f32x4.splat(x);
}

/** a · b + c, each rounded. */
// @ts-ignore: decorator
@inline
export function mulAdd(a: v128, b: v128, c: v128): v128 {
  return f32x4.add(c, f32x4.mul(a, b));
}

/** a · b + c, fused where the processor can and the variant may. */
// @ts-ignore: decorator
@inline
export function fma(a: v128, b: v128, c: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? f32x4.relaxed_madd(a, b, c) : f32x4.add(c, f32x4.mul(a, b));
}

/** eˣ = 2ⁿ e^r with |r| ≤ ½ log 2, and Cephes' polynomial for e^r. Infinite above 88.7, 0 below −87.3. */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  // pmin and pmax are one instruction each and keep NaN; min and max are many.
  const limited = f32x4.pmax(f32x4.pmin(x, splat(89)), splat(-87.5));
  // Adding 1.5 · 2²³ rounds to a whole number, which is then in the lowest bits.
  const turned = mulAdd(limited, splat(1.44269504), splat(12582912));
  const p = f32x4.add(expNearZero4(limited, f32x4.sub(turned, splat(12582912))), splat(1));
  // Twice 2ⁿ⁻¹, since 2¹²⁸ is no number.
  return f32x4.mul(f32x4.add(p, p), i32x4.add(i32x4.shl(turned, 23), i32x4.splat(126 << 23)));
}

/** e^(x − n log 2) − 1, at most √2 − 1 in size. */
// @ts-ignore: decorator
@inline
function expNearZero4(x: v128, n: v128): v128 {
  let r = fma(n, splat(-0.693359375), x);
  r = fma(n, splat(2.12194440e-4), r);
  let p = splat(1.9875691500e-4);
  p = fma(p, r, splat(1.3981999507e-3));
  p = fma(p, r, splat(8.3334519073e-3));
  p = fma(p, r, splat(4.1665795894e-2));
  p = fma(p, r, splat(1.6666665459e-1));
  p = fma(p, r, splat(5.0000001201e-1));
  return fma(p, f32x4.mul(r, r), r);
}

/** eˣ − 1. */
// @ts-ignore: decorator
@inline
export function expm14(x: v128): v128 {
  // From −18 on it rounds to −1.
  const limited = f32x4.pmax(f32x4.pmin(x, splat(88)), splat(-18));
  const turned = mulAdd(limited, splat(1.44269504), splat(12582912));
  const p = expNearZero4(limited, f32x4.sub(turned, splat(12582912)));
  const scale = i32x4.add(i32x4.shl(turned, 23), i32x4.splat(127 << 23));
  const y = f32x4.add(f32x4.mul(scale, p), f32x4.sub(scale, splat(1)));
  return v128.bitselect(exp4(x), y, f32x4.gt(x, splat(88)));
}

/** log(1 + x): what rounding 1 + x to u lost is made up for by x / (u − 1). */
// @ts-ignore: decorator
@inline
export function log1p4(x: v128): v128 {
  const u = f32x4.add(splat(1), x);
  const y = f32x4.mul(x, f32x4.div(log4(u), f32x4.sub(u, splat(1))));
  return v128.bitselect(x, y, v128.or(f32x4.eq(u, splat(1)), f32x4.eq(x, splat(Infinity))));
}

/** e^(x²) (1 − erf x) for x ≥ 0, within 5 ulp; kernels/functions/functions.wgsl says how. */
// @ts-ignore: decorator
@inline
function scaledErfComplement4(x: v128): v128 {
  const t = f32x4.div(splat(1), mulAdd(splat(0.3), x, splat(1)));
  let q = splat(-0.12945792);
  q = mulAdd(q, t, splat(0.4852218));
  q = mulAdd(q, t, splat(-0.5115091));
  q = mulAdd(q, t, splat(0.5467515));
  q = mulAdd(q, t, splat(-0.0939058));
  q = mulAdd(q, t, splat(0.21456833));
  q = mulAdd(q, t, splat(0.14844376));
  q = mulAdd(q, t, splat(0.17069824));
  q = mulAdd(q, t, splat(0.16918918));
  return f32x4.mul(t, q);
}

/** erf x, within 4 ulp. */
// @ts-ignore: decorator
@inline
export function erf4(x: v128): v128 {
  const size = f32x4.abs(x);
  const square = f32x4.mul(x, x);
  let p = splat(7.853861e-5);
  p = mulAdd(p, square, splat(-8.0101937e-4));
  p = mulAdd(p, square, splat(5.1883277e-3));
  p = mulAdd(p, square, splat(-2.6853813e-2));
  p = mulAdd(p, square, splat(0.112835854));
  p = mulAdd(p, square, splat(-0.37612626));
  p = mulAdd(p, square, splat(0.12837917));
  const near = mulAdd(p, size, size);
  const far = f32x4.sub(splat(1), f32x4.mul(exp4(f32x4.neg(square)), scaledErfComplement4(size)));
  const y = v128.bitselect(near, far, f32x4.lt(size, splat(1)));
  return v128.or(y, v128.and(x, i32x4.splat(0x80000000)));
}

/** x · Φ(x), Φ the standard normal distribution; nothing cancels for negative x. */
// @ts-ignore: decorator
@inline
export function gelu4(x: v128): v128 {
  const half = f32x4.mul(f32x4.mul(splat(-0.5), x), x);
  const tail = f32x4.mul(
    f32x4.mul(splat(0.5), exp4(half)),
    scaledErfComplement4(f32x4.mul(f32x4.abs(x), splat(0.70710678))),
  );
  return f32x4.mul(x, v128.bitselect(tail, f32x4.sub(splat(1), tail), f32x4.lt(x, splat(0))));
}

/** log Φ(x), Φ the standard normal distribution; kernels/functions/functions.wgsl says how. */
// @ts-ignore: decorator
@inline
export function logNdtr4(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), splat(0.70710678));
  const inverse = f32x4.div(splat(1), f32x4.mul(z, z));
  const series = mulAdd(inverse, mulAdd(inverse, splat(0.75), splat(-0.5)), splat(1));
  const far = f32x4.mul(f32x4.div(splat(0.5641896), z), series);
  const fitted = scaledErfComplement4(z);
  const scaled = f32x4.mul(splat(0.5), v128.bitselect(far, fitted, f32x4.gt(z, splat(9))));
  const half = f32x4.mul(f32x4.mul(splat(-0.5), x), x);
  const tail = f32x4.mul(exp4(half), scaled);
  const above = v128.bitselect(log4(tail), log1p4(f32x4.neg(tail)), f32x4.lt(x, splat(0)));
  return v128.bitselect(f32x4.add(half, log4(scaled)), above, f32x4.lt(x, splat(-1)));
}

/** 1 / (1 + e⁻ˣ). */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exp4(f32x4.sub(splat(0), x))));
}

/** x / (1 + e⁻ˣ). */
// @ts-ignore: decorator
@inline
export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(splat(1), exp4(f32x4.sub(splat(0), x))));
}

/** log x = log m + n log 2 with m in [√½, √2), and Cephes' polynomial for log m. */
// @ts-ignore: decorator
@inline
export function log4(x: v128): v128 {
  const isTiny = f32x4.lt(x, splat(1.17549435e-38));
  const scaled = v128.bitselect(f32x4.mul(x, splat(8388608)), x, isTiny);
  let n = i32x4.sub(i32x4.shr_s(scaled, 23), i32x4.splat(126));
  n = i32x4.sub(n, v128.and(isTiny, i32x4.splat(23)));
  let m = v128.or(v128.and(scaled, i32x4.splat(0x007fffff)), splat(0.5));
  const isLow = f32x4.lt(m, splat(0.707106781));
  const exponent = f32x4.sub(f32x4.convert_i32x4_s(n), v128.and(isLow, splat(1)));
  m = f32x4.sub(f32x4.add(m, v128.and(isLow, m)), splat(1));
  const square = f32x4.mul(m, m);
  let p = splat(7.0376836292e-2);
  p = mulAdd(p, m, splat(-1.1514610310e-1));
  p = mulAdd(p, m, splat(1.1676998740e-1));
  p = mulAdd(p, m, splat(-1.2420140846e-1));
  p = mulAdd(p, m, splat(1.4249322787e-1));
  p = mulAdd(p, m, splat(-1.6668057665e-1));
  p = mulAdd(p, m, splat(2.0000714765e-1));
  p = mulAdd(p, m, splat(-2.4999993993e-1));
  p = mulAdd(p, m, splat(3.3333331174e-1));
  p = f32x4.mul(f32x4.mul(p, m), square);
  p = mulAdd(exponent, splat(-2.12194440e-4), p);
  p = mulAdd(square, splat(-0.5), p);
  p = f32x4.add(m, p);
  p = mulAdd(exponent, splat(0.693359375), p);
  p = v128.bitselect(splat(-Infinity), p, f32x4.eq(x, splat(0)));
  p = v128.bitselect(x, p, f32x4.eq(x, splat(Infinity)));
  // Negative ones and NaN.
  return v128.bitselect(p, splat(NaN), f32x4.ge(x, splat(0)));
}

/** 1 − 2 / (e^2|x| + 1) with the sign of x; a polynomial where that would cancel. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const size = f32x4.abs(x);
  const far = f32x4.sub(splat(1), f32x4.div(splat(2), f32x4.add(exp4(f32x4.add(size, size)), splat(1))));
  const square = f32x4.mul(x, x);
  let p = splat(-5.70498872745e-3);
  p = mulAdd(p, square, splat(2.06390887954e-2));
  p = mulAdd(p, square, splat(-5.37397155531e-2));
  p = mulAdd(p, square, splat(1.33314422036e-1));
  p = mulAdd(p, square, splat(-3.33332819422e-1));
  const near = mulAdd(f32x4.mul(p, square), size, size);
  const result = v128.bitselect(near, far, f32x4.lt(size, splat(0.625)));
  return v128.or(result, v128.and(x, i32x4.splat(0x80000000)));
}

/** sin(x + quarter · π/2): the reduced argument is found in float64, which loses nothing up to 10⁶, and in integers beyond. */
// @ts-ignore: decorator
@inline
export function sine4(x: v128, quarter: i32): v128 {
  const low = f64x2.promote_low_f32x4(x);
  const high = f64x2.promote_low_f32x4(i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const lowTurns = f64x2.nearest(f64x2.mul(low, f64x2.splat(0.6366197723675814)));
  const highTurns = f64x2.nearest(f64x2.mul(high, f64x2.splat(0.6366197723675814)));
  let r = i8x16.shuffle(
    f32x4.demote_f64x2_zero(reduce(low, lowTurns)), f32x4.demote_f64x2_zero(reduce(high, highTurns)),
    0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23,
  );
  let turns = i8x16.shuffle(
    i32x4.trunc_sat_f64x2_s_zero(lowTurns), i32x4.trunc_sat_f64x2_s_zero(highTurns),
    0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23,
  );
  if (v128.any_true(f32x4.gt(f32x4.abs(x), splat(1e6)))) {
    const a = turnsOf(f32x4.extract_lane(x, 0));
    const b = turnsOf(f32x4.extract_lane(x, 1));
    const c = turnsOf(f32x4.extract_lane(x, 2));
    const d = turnsOf(f32x4.extract_lane(x, 3));
    const isLarge = v128.and(f32x4.gt(f32x4.abs(x), splat(1e6)), f32x4.lt(f32x4.abs(x), splat(Infinity)));
    r = v128.bitselect(f32x4(restOf(a), restOf(b), restOf(c), restOf(d)), r, isLarge);
    turns = v128.bitselect(i32x4(wholeOf(a), wholeOf(b), wholeOf(c), wholeOf(d)), turns, isLarge);
  }
  turns = i32x4.add(i32x4.splat(quarter), turns);
  const square = f32x4.mul(r, r);
  let s = splat(-1.9515295891e-4);
  s = mulAdd(s, square, splat(8.3321608736e-3));
  s = mulAdd(s, square, splat(-1.6666654611e-1));
  s = mulAdd(f32x4.mul(s, square), r, r);
  let c = splat(2.443315711809948e-5);
  c = mulAdd(c, square, splat(-1.388731625493765e-3));
  c = mulAdd(c, square, splat(4.166664568298827e-2));
  c = f32x4.add(mulAdd(square, splat(-0.5), f32x4.mul(f32x4.mul(c, square), square)), splat(1));
  const isOdd = i32x4.eq(v128.and(turns, i32x4.splat(1)), i32x4.splat(1));
  const sign = i32x4.shl(v128.and(turns, i32x4.splat(2)), 30);
  return v128.xor(v128.bitselect(c, s, isOdd), sign);
}

// @ts-ignore: decorator
@inline
function reduce(x: v128, turns: v128): v128 {
  const r = f64x2.sub(x, f64x2.mul(turns, f64x2.splat(1.5707963267341256)));
  return f64x2.sub(r, f64x2.mul(turns, f64x2.splat(6.077100506506192e-11)));
}

/**
 * x · 2/π modulo 4, in units of 2⁻⁶², for |x| ≥ ½; something for smaller ones. Payne and Hanek's reduction: the lower 96 bits of the
 * mantissa times those bits of 2/π that matter.
 */
function turnsOf(x: f32): i64 {
  const bits = reinterpret<u32>(x) & 0x7fffffff;
  const mantissa = <u64>((bits & 0x007fffff) | 0x00800000);
  const first = max(<i32>(bits >> 23) - 120, 0);
  const carried = (mantissa * twoOverPi(first + 64)) >> 32;
  const low = mantissa * twoOverPi(first + 32) + carried;
  const turns = <i64>(((mantissa * twoOverPi(first) + (low >> 32)) << 32) | (low & 0xffffffff));
  return x < 0 ? -turns : turns;
}

/** 32 bits of 2/π behind 32 zeros, from bit `first` on. */
function twoOverPi(first: i32): u64 {
  const k = first >> 5;
  return (((word(k) << 32) | word(k + 1)) >> <u64>(32 - (first & 31))) & 0xffffffff;
}

function word(k: i32): u64 {
  switch (k) {
    case 1: return 0xa2f9836e;
    case 2: return 0x4e441529;
    case 3: return 0xfc2757d1;
    case 4: return 0xf534ddc0;
    case 5: return 0xdb629599;
    case 6: return 0x3c439041;
    case 7: return 0xfe5163ab;
    default: return 0;
  }
}

/** The nearest whole number of quarter turns. */
function wholeOf(turns: i64): i32 {
  return <i32>((turns + (<i64>1 << 61)) >> 62);
}

/** What is left of it, as an angle. */
function restOf(turns: i64): f32 {
  return <f32>(<f64>(turns << 2) * 1.5707963267948966 * (1.0 / 18446744073709551616.0));
}
