// Random numbers: Philox-4x32-10 and Box–Muller for four quads of words at once, each operation rounded as on every other backend.
import { splat } from "./functions";
import { element, storeLanes } from "./memory";

// Sixteen words of a draw: lane q of word k is word k of quad q. Globals, since functions return one value.
let word0: v128 = i32x4.splat(0);
let word1: v128 = i32x4.splat(0);
let word2: v128 = i32x4.splat(0);
let word3: v128 = i32x4.splat(0);

/** The upper halves of four 64-bit products. */
// @ts-ignore: decorator
@inline
function mulHigh(a: v128, b: v128): v128 {
  const low = i64x2.extmul_low_i32x4_u(a, b);
  const high = i64x2.extmul_high_i32x4_u(a, b);
  return i8x16.shuffle(low, high, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/** Words of quads quad … quad + 3. */
// @ts-ignore: decorator
@inline
function draw(quad: i32, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32): void {
  let a = i32x4.add(i32x4.splat(quad), i32x4(0, 1, 2, 3));
  let b = i32x4.splat(drawLow), c = i32x4.splat(drawHigh), d = i32x4.splat(0);
  let k = keyLow, l = keyHigh;
  const multiplierA = i32x4.splat(0xd2511f53), multiplierC = i32x4.splat(0xcd9e8d57);
  for (let round = 0; round < 10; round++) {
    const highA = mulHigh(multiplierA, a), highC = mulHigh(multiplierC, c);
    const lowA = i32x4.mul(multiplierA, a), lowC = i32x4.mul(multiplierC, c);
    a = v128.xor(v128.xor(highC, b), i32x4.splat(k));
    b = lowC;
    c = v128.xor(v128.xor(highA, d), i32x4.splat(l));
    d = lowA;
    k += 0x9e3779b9;
    l += 0xbb67ae85;
  }
  word0 = a;
  word1 = b;
  word2 = c;
  word3 = d;
}

/** Stores four vectors, one lane of each after the other. */
// @ts-ignore: decorator
@inline
function storeQuads(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const abLow = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const abHigh = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const cdLow = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const cdHigh = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  v128.store(to, i8x16.shuffle(abLow, cdLow, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
  v128.store(to, i8x16.shuffle(abLow, cdLow, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 16);
  v128.store(to, i8x16.shuffle(abHigh, cdHigh, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), 32);
  v128.store(to, i8x16.shuffle(abHigh, cdHigh, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), 48);
}

@unmanaged class Bits { @inline apply(w: v128, a: v128, b: v128, k: v128): v128 { return w; } }
@unmanaged class Uniform {
  @inline apply(w: v128, a: v128, b: v128, k: v128): v128 {
    const value = f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(w, 8)), splat(<f32>5.960464477539063e-8));
    return f32x4.add(f32x4.mul(value, a), b);
  }
}
@unmanaged class Integers {
  @inline apply(w: v128, a: v128, b: v128, k: v128): v128 { return i32x4.add(a, mulHigh(w, k)); }
}
@unmanaged class Signs {
  @inline apply(w: v128, a: v128, b: v128, k: v128): v128 {
    return v128.or(splat(1), v128.and(w, i32x4.splat(0x80000000)));
  }
}
@unmanaged class Trials {
  @inline apply(w: v128, a: v128, b: v128, k: v128): v128 {
    return v128.and(i32x4.lt_u(i32x4.shr_u(w, 8), k), i32x4.splat(1));
  }
}

/** Groups [begin, end) of sixteen elements; the last group may reach over the end of the tensor, into its padding. */
// @ts-ignore: decorator
@inline
function words<F>(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, a: v128, b: v128, k: v128,
): void {
  const f = changetype<F>(0);
  for (let group = begin; group < end; group++) {
    draw(group << 2, keyLow, keyHigh, drawLow, drawHigh);
    storeQuads(
      element(out, group << 4),
      f.apply(word0, a, b, k), f.apply(word1, a, b, k), f.apply(word2, a, b, k), f.apply(word3, a, b, k),
    );
  }
}

export function random_bits(begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32): void {
  const none = splat(0);
  words<Bits>(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, none, none, none);
}

export function random_uniform(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, scale: f32, shift: f32,
): void {
  words<Uniform>(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, splat(scale), splat(shift), splat(0));
}

export function random_integers(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, low: i32, bound: i32,
): void {
  words<Integers>(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, i32x4.splat(low), splat(0), i32x4.splat(bound));
}

export function random_signs(begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32): void {
  const none = splat(0);
  words<Signs>(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, none, none, none);
}

export function random_trials(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, bound: i32,
): void {
  words<Trials>(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, splat(0), splat(0), i32x4.splat(bound));
}

/** a · b + c, each rounded: Horner's step. */
// @ts-ignore: decorator
@inline
function step(a: v128, b: v128, c: f32): v128 {
  return f32x4.add(f32x4.mul(a, b), splat(c));
}

/** log(w / 2³²) of odd words, of which the upper 24 significant bits count. */
// @ts-ignore: decorator
@inline
function logFraction(w: v128): v128 {
  // A float64 holds a word's exponent and, cut at 24 bits, its significant digits.
  const low = i64x2.shr_u(f64x2.convert_low_i32x4_u(w), 29);
  const upper = i8x16.shuffle(w, w, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  const high = i64x2.shr_u(f64x2.convert_low_i32x4_u(upper), 29);
  const digits = i8x16.shuffle(low, high, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  const mantissa = v128.or(v128.and(digits, i32x4.splat(0x7fffff)), i32x4.splat(0x800000));
  const exponent = v128.and(i32x4.add(i32x4.shr_u(digits, 23), i32x4.splat(1)), i32x4.splat(511));
  const isLow = i32x4.lt_s(mantissa, i32x4.splat(0xb504f3));
  const doubled = i32x4.add(mantissa, v128.and(mantissa, isLow));
  const x = f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(doubled, i32x4.splat(0x1000000))), splat(<f32>5.960464477539063e-8));
  const halvings = f32x4.convert_i32x4_s(i32x4.sub(i32x4.sub(i32x4.splat(31), exponent), isLow));
  const square = f32x4.mul(x, x);
  let p = splat(-0.0763449669);
  p = step(p, x, 0.127615765);
  p = step(p, x, -0.131601825);
  p = step(p, x, 0.142017573);
  p = step(p, x, -0.166233569);
  p = step(p, x, 0.200012267);
  p = step(p, x, -0.250008196);
  p = step(p, x, 0.333333313);
  let rest = f32x4.mul(f32x4.mul(p, x), square);
  rest = f32x4.add(rest, f32x4.mul(halvings, splat(0.00021219444)));
  rest = f32x4.sub(rest, f32x4.mul(splat(0.5), square));
  return f32x4.sub(f32x4.add(x, rest), f32x4.mul(halvings, splat(0.693359375)));
}

/** √t: Newton's steps towards 1/√t from its bits, and one towards √t. */
// @ts-ignore: decorator
@inline
function squareRoot(t: v128): v128 {
  let inverse = i32x4.sub(i32x4.splat(0x5f375a86), i32x4.shr_u(t, 1));
  const half = f32x4.mul(splat(0.5), t);
  for (let k = 0; k < 2; k++) {
    const correction = f32x4.sub(splat(1.5), f32x4.mul(half, f32x4.mul(inverse, inverse)));
    inverse = f32x4.mul(inverse, correction);
  }
  const root = f32x4.mul(t, inverse);
  const error = f32x4.sub(t, f32x4.mul(root, root));
  return f32x4.add(root, f32x4.mul(f32x4.mul(splat(0.5), inverse), error));
}

let normalCosine: v128 = i32x4.splat(0);
let normalSine: v128 = i32x4.splat(0);

/** √(−2 log u) cos θ and √(−2 log u) sin θ, from u's words and θ's: four pairs of normals. */
// @ts-ignore: decorator
@inline
function boxMuller(w: v128, turn: v128): void {
  const radius = squareRoot(f32x4.mul(splat(-2), logFraction(v128.or(w, i32x4.splat(1)))));
  const quadrant = i32x4.shr_u(turn, 30);
  const fraction = i32x4.shr_u(i32x4.shl(turn, 2), 8);
  const odd = i32x4.sub(i32x4.add(fraction, fraction), i32x4.splat(0xffffff));
  const x = f32x4.mul(f32x4.convert_i32x4_s(odd), splat(<f32>2.9802322387695312e-8));
  const square = f32x4.mul(x, x);
  let p = splat(-0.00460165413);
  p = step(p, square, 0.079680033);
  p = step(p, square, -0.64596343);
  p = step(p, square, -4.87987393e-8);
  const sine = f32x4.add(f32x4.mul(x, splat(1.57079637)), f32x4.mul(x, p));
  let cosine = splat(0.000904021203);
  cosine = step(cosine, square, -0.0208602883);
  cosine = step(cosine, square, 0.253669232);
  cosine = step(cosine, square, -1.23370051);
  cosine = step(cosine, square, 1);
  const isOdd = i32x4.eq(v128.and(quadrant, i32x4.splat(1)), i32x4.splat(1));
  const c = v128.bitselect(sine, cosine, isOdd);
  const s = v128.bitselect(cosine, sine, isOdd);
  // cos is negative in quadrants 1 and 2, sin in 2 and 3.
  const cosineSign = i32x4.shl(v128.xor(quadrant, i32x4.shr_u(quadrant, 1)), 31);
  const sineSign = i32x4.shl(i32x4.shr_u(quadrant, 1), 31);
  normalCosine = f32x4.mul(radius, v128.xor(c, cosineSign));
  normalSine = f32x4.mul(radius, v128.xor(s, sineSign));
}

/** Sixteen normals of quads quad … quad + 3. */
function normals(to: usize, quad: i32, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, scale: v128, shift: v128): void {
  draw(quad, keyLow, keyHigh, drawLow, drawHigh);
  boxMuller(word0, word1);
  const a = f32x4.add(f32x4.mul(normalCosine, scale), shift), b = f32x4.add(f32x4.mul(normalSine, scale), shift);
  boxMuller(word2, word3);
  const c = f32x4.add(f32x4.mul(normalCosine, scale), shift), d = f32x4.add(f32x4.mul(normalSine, scale), shift);
  storeQuads(to, a, b, c, d);
}

export function random_normal(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, scale: f32, shift: f32,
): void {
  for (let group = begin; group < end; group++) {
    normals(element(out, group << 4), group << 2, keyLow, keyHigh, drawLow, drawHigh, splat(scale), splat(shift));
  }
}

/** out = scale · x, or 0 where the trial of its word succeeds. */
export function dropout(
  begin: i32, end: i32, out: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32, x: usize, scale: f32, bound: i32,
): void {
  random_trials(begin, end, out, keyLow, keyHigh, drawLow, drawHigh, bound);
  const stop = element(out, end << 4);
  let from = element(x, begin << 4);
  for (let to = element(out, begin << 4); to < stop; to += 16) {
    const value = f32x4.mul(splat(scale), v128.load(from));
    v128.store(to, v128.and(value, i32x4.eq(v128.load(to), i32x4.splat(0))));
    from += 16;
  }
}

/** noisy = signal · x + noise · ε, ε normal; signal and noise are one number for each `row` elements. */
export function noise_add(
  begin: i32, end: i32, noisy: usize, epsilon: usize, keyLow: i32, keyHigh: i32, drawLow: i32, drawHigh: i32,
  x: usize, signal: usize, noise: usize, row: i32, size: i32,
): void {
  random_normal(begin, end, epsilon, keyLow, keyHigh, drawLow, drawHigh, 1, 0);
  const stop = min(end << 4, size);
  for (let i = begin << 4; i < stop; ) {
    const sample = i / row;
    const next = min((sample + 1) * row, stop);
    const a = v128.load_splat<f32>(element(signal, sample)), b = v128.load_splat<f32>(element(noise, sample));
    for (; i < next; i += 4) {
      const value = f32x4.mul(a, v128.load(element(x, i)));
      storeLanes(element(noisy, i), f32x4.add(value, f32x4.mul(b, v128.load(element(epsilon, i)))), next - i);
    }
    i = next;
  }
}
