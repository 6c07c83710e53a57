// Group normalisation with an activation behind it: act((x − mean) · rstd · scale + bias), and its gradient. x is [batch, pixels, channels].
//
// A group's mean is kept as its first element and the rest, so that a large mean costs no digits.
import { sigmoid4, silu4, splat } from "./functions";
import { element, storeLanes } from "./memory";

/** Channels that are summed in one pass over the pixels: a cache line of them. */
const WIDTH: i32 = 16;

/** Row (b, chunk of channels): sums[b, 0, c] = Σ (x − first) and sums[b, 1, c] = Σ (x − first)², first being the group's first element. */
export function norm_sums(
  begin: i32, end: i32, sums: usize, x: usize, pixels: i32, channels: i32, depth: i32,
): void {
  const chunks = (channels + WIDTH - 1) / WIDTH;
  const step = <usize>channels << 2;
  for (let row = begin; row < end; row++) {
    const b = row / chunks;
    const start = (row - b * chunks) * WIDTH;
    const sample = element(x, b * pixels * channels);
    const to = element(sums, 2 * b * channels);
    for (let c = start; c < min(start + WIDTH, channels); c += 4) {
      const first = firsts(sample, c, channels, depth);
      let total = splat(0), squares = splat(0);
      let from = element(sample, c);
      for (let p = 0; p < pixels; p++) {
        const value = f32x4.sub(v128.load(from), first);
        total = f32x4.add(total, value);
        squares = f32x4.add(squares, f32x4.mul(value, value));
        from += step;
      }
      storeLanes(element(to, c), total, channels - c);
      storeLanes(element(to, channels + c), squares, channels - c);
    }
  }
}

/** The first elements of the groups of four channels. */
// @ts-ignore: decorator
@inline
function firsts(sample: usize, c: i32, channels: i32, depth: i32): v128 {
  const last = channels - 1;
  return f32x4(
    load<f32>(element(sample, c / depth * depth)), load<f32>(element(sample, min(c + 1, last) / depth * depth)),
    load<f32>(element(sample, min(c + 2, last) / depth * depth)), load<f32>(element(sample, min(c + 3, last) / depth * depth)),
  );
}

/** Row (b, group): statistics[b, group] = (first, mean − first, 1 / √(variance + ε)). */
export function norm_statistics(
  begin: i32, end: i32, statistics: usize, sums: usize, x: usize, pixels: i32, channels: i32, depth: i32, epsilon: f32,
): void {
  const groups = channels / depth;
  const count = <f64>pixels * depth;
  for (let row = begin; row < end; row++) {
    const b = row / groups;
    const start = (row - b * groups) * depth;
    const from = element(sums, 2 * b * channels + start);
    let total: f64 = 0, squares: f64 = 0;
    for (let c = 0; c < depth; c++) {
      total += load<f32>(element(from, c));
      squares += load<f32>(element(from, channels + c));
    }
    const first = element(x, b * pixels * channels + start);
    let mean = total / count;
    let variance = max<f64>(0, squares / count - mean * mean);
    if (!(variance < Infinity)) {
      mean = meanOf(first, pixels, channels, depth, 0, 1);
      variance = meanOf(first, pixels, channels, depth, mean, 2);
    }
    const to = element(statistics, 3 * row);
    store<f32>(to, load<f32>(first));
    store<f32>(to, <f32>mean, 4);
    store<f32>(to, <f32>(1 / sqrt<f64>(variance + epsilon)), 8);
  }
}

/** The mean of (x − first − shift)^power over a group, in float64: for squares that float32 does not hold. */
function meanOf(first: usize, pixels: i32, channels: i32, depth: i32, shift: f64, power: i32): f64 {
  const origin = <f64>load<f32>(first) + shift;
  let sum: f64 = 0;
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < depth; c++) {
      const value = <f64>load<f32>(element(first, p * channels + c)) - origin;
      sum += power == 2 ? value * value : value;
    }
  }
  return sum / (<f64>pixels * depth);
}

// What the passes over pixels read, a row of channels each: planes[b] = [first, mean − first, rstd, rstd · scale].
const PLANES: i32 = 4;

/** Row b: the statistics and the scale spread over the channels. */
export function norm_planes(
  begin: i32, end: i32, planes: usize, statistics: usize, scale: usize, channels: i32, depth: i32,
): void {
  for (let b = begin; b < end; b++) {
    const to = element(planes, PLANES * b * channels);
    for (let c = 0; c < channels; c++) {
      const from = element(statistics, 3 * ((b * channels + c) / depth));
      const rstd = load<f32>(from, 8);
      store<f32>(element(to, c), load<f32>(from));
      store<f32>(element(to, channels + c), load<f32>(from, 4));
      store<f32>(element(to, 2 * channels + c), rstd);
      store<f32>(element(to, 3 * channels + c), rstd * load<f32>(element(scale, c)));
    }
  }
}

/** x less its mean. */
// @ts-ignore: decorator
@inline
function centred(x: usize, plane: usize, channels: i32): v128 {
  return f32x4.sub(f32x4.sub(v128.load(x), v128.load(plane)), v128.load(element(plane, channels)));
}

/** Pixels [begin, end) of all samples. */
export function norm_apply(
  begin: i32, end: i32, out: usize, planes: usize, x: usize, bias: usize, pixels: i32, channels: i32, silu: i32,
): void {
  for (let p = begin; p < end; p++) {
    const plane = element(planes, p / pixels * PLANES * channels);
    const from = element(x, p * channels);
    const to = element(out, p * channels);
    let c = 0;
    // Four vectors share the constants of the activation.
    for (; c + 16 <= channels; c += 16) {
      applyVector(c, to, plane, from, bias, channels, silu);
      applyVector(c + 4, to, plane, from, bias, channels, silu);
      applyVector(c + 8, to, plane, from, bias, channels, silu);
      applyVector(c + 12, to, plane, from, bias, channels, silu);
    }
    for (; c < channels; c += 4) applyVector(c, to, plane, from, bias, channels, silu);
  }
}

// @ts-ignore: decorator
@inline
function applyVector(c: i32, to: usize, plane: usize, x: usize, bias: usize, channels: i32, silu: i32): void {
  const at = element(plane, c);
  const slope = v128.load(element(at, 3 * channels));
  const z = f32x4.add(f32x4.mul(centred(element(x, c), at, channels), slope), v128.load(element(bias, c)));
  storeLanes(element(to, c), silu ? silu4(z) : z, channels - c);
}

/** The cotangent before the activation. */
// @ts-ignore: decorator
@inline
function beforeActivation(g: v128, deviation: v128, slope: v128, bias: v128, silu: i32): v128 {
  if (!silu) return g;
  const z = f32x4.add(f32x4.mul(deviation, slope), bias);
  const s = sigmoid4(z);
  return f32x4.mul(f32x4.mul(g, s), f32x4.add(splat(1), f32x4.mul(z, f32x4.sub(splat(1), s))));
}

/** Row (b, chunk of channels): sums[b, 0, c] = Σ dz · (x − mean) · rstd and sums[b, 1, c] = Σ dz over the pixels. */
export function norm_grad_sums(
  begin: i32, end: i32, sums: usize, planes: usize, g: usize, x: usize, bias: usize, pixels: i32, channels: i32, silu: i32,
): void {
  const chunks = (channels + WIDTH - 1) / WIDTH;
  const step = <usize>channels << 2;
  for (let row = begin; row < end; row++) {
    const b = row / chunks;
    const start = (row - b * chunks) * WIDTH;
    const plane = element(planes, PLANES * b * channels);
    const to = element(sums, 2 * b * channels);
    for (let c = start; c < min(start + WIDTH, channels); c += 4) {
      const at = element(plane, c);
      const slope = v128.load(element(at, 3 * channels));
      const shift = v128.load(element(bias, c));
      let total = splat(0), products = splat(0);
      let from = element(x, b * pixels * channels + c);
      let cotangent = element(g, b * pixels * channels + c);
      let p = 0;
      // Two pixels share the constants of the activation.
      for (; p + 2 <= pixels; p += 2) {
        const deviation = centred(from, at, channels), next = centred(from + step, at, channels);
        const dz = beforeActivation(v128.load(cotangent), deviation, slope, shift, silu);
        const dzNext = beforeActivation(v128.load(cotangent + step), next, slope, shift, silu);
        total = f32x4.add(total, f32x4.add(dz, dzNext));
        products = f32x4.add(products, f32x4.add(f32x4.mul(dz, deviation), f32x4.mul(dzNext, next)));
        from += 2 * step;
        cotangent += 2 * step;
      }
      if (p < pixels) {
        const deviation = centred(from, at, channels);
        const dz = beforeActivation(v128.load(cotangent), deviation, slope, shift, silu);
        total = f32x4.add(total, dz);
        products = f32x4.add(products, f32x4.mul(dz, deviation));
      }
      storeLanes(element(to, c), f32x4.mul(products, v128.load(element(at, 2 * channels))), channels - c);
      storeLanes(element(to, channels + c), total, channels - c);
    }
  }
}

/** Channels [begin, end): the sums of norm_grad_sums over the batch. */
export function norm_grad_parameters(
  begin: i32, end: i32, dscale: usize, dbias: usize, sums: usize, batch: i32, channels: i32,
): void {
  for (let c = begin; c < end; c++) {
    let products: f64 = 0, total: f64 = 0;
    for (let b = 0; b < batch; b++) {
      const from = element(sums, 2 * b * channels + c);
      products += load<f32>(from);
      total += load<f32>(element(from, channels));
    }
    store<f32>(element(dscale, c), <f32>products);
    store<f32>(element(dbias, c), <f32>total);
  }
}

/** Row b: in place, each channel's sums become its group's means of dz · scale · normal and of dz · scale. */
export function norm_grad_means(
  begin: i32, end: i32, sums: usize, scale: usize, pixels: i32, channels: i32, depth: i32,
): void {
  const count = <f64>pixels * depth;
  for (let b = begin; b < end; b++) {
    for (let first = 0; first < channels; first += depth) {
      const from = element(sums, 2 * b * channels + first);
      let products: f64 = 0, total: f64 = 0;
      for (let c = 0; c < depth; c++) {
        const gain = load<f32>(element(scale, first + c));
        products += <f64>(gain * load<f32>(element(from, c)));
        total += <f64>(gain * load<f32>(element(from, channels + c)));
      }
      for (let c = 0; c < depth; c++) {
        store<f32>(element(from, c), <f32>(products / count));
        store<f32>(element(from, channels + c), <f32>(total / count));
      }
    }
  }
}

/** Pixels [begin, end): dx = rstd · scale · dz − rstd · (mean of dz · scale + normal · mean of dz · scale · normal). */
export function norm_grad(
  begin: i32, end: i32, dx: usize, means: usize, planes: usize, g: usize, x: usize, bias: usize,
  pixels: i32, channels: i32, silu: i32,
): void {
  for (let p = begin; p < end; p++) {
    const b = p / pixels;
    const plane = element(planes, PLANES * b * channels);
    const mean = element(means, 2 * b * channels);
    const from = element(x, p * channels);
    const cotangent = element(g, p * channels);
    const to = element(dx, p * channels);
    let c = 0;
    for (; c + 16 <= channels; c += 16) {
      gradVector(c, to, plane, mean, cotangent, from, bias, channels, silu);
      gradVector(c + 4, to, plane, mean, cotangent, from, bias, channels, silu);
      gradVector(c + 8, to, plane, mean, cotangent, from, bias, channels, silu);
      gradVector(c + 12, to, plane, mean, cotangent, from, bias, channels, silu);
    }
    for (; c < channels; c += 4) gradVector(c, to, plane, mean, cotangent, from, bias, channels, silu);
  }
}

// @ts-ignore: decorator
@inline
function gradVector(
  c: i32, to: usize, plane: usize, mean: usize, g: usize, x: usize, bias: usize, channels: i32, silu: i32,
): void {
  const at = element(plane, c);
  const rstd = v128.load(element(at, 2 * channels));
  const slope = v128.load(element(at, 3 * channels));
  const deviation = centred(element(x, c), at, channels);
  const dz = beforeActivation(v128.load(element(g, c)), deviation, slope, v128.load(element(bias, c)), silu);
  const own = element(mean, c);
  const normal = f32x4.mul(deviation, rstd);
  const shared = f32x4.add(v128.load(element(own, channels)), f32x4.mul(normal, v128.load(own)));
  storeLanes(element(to, c), f32x4.sub(f32x4.mul(slope, dz), f32x4.mul(rstd, shared)), channels - c);
}
