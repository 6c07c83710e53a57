// weight · sums over windows of an image, and their transpose: average pooling and nearest-neighbour upsampling.
import { splat } from "./functions";
import { at } from "./matmul";
import { element, storeLanes } from "./memory";

// The table, y before x: sizes of the input and the output, windows, strides, padding.
const INPUT: i32 = 0;
const OUT: i32 = 2;
const WINDOW: i32 = 4;
const STRIDE: i32 = 6;
const PADDING: i32 = 8;

/** Pixels [begin, end) of the output: out[y, x] = weight · Σ in[y · stride − padding + dy, …]. */
export function window_sum(begin: i32, end: i32, out: usize, table: usize, x: usize, channels: i32, weight: f32): void {
  const down = at(table, OUT), across = at(table, OUT + 1);
  const height = at(table, INPUT), width = at(table, INPUT + 1);
  for (let p = begin; p < end; p++) {
    const row = p / across;
    const b = row / down;
    const top = (row - b * down) * at(table, STRIDE) - at(table, PADDING);
    const left = (p - row * across) * at(table, STRIDE + 1) - at(table, PADDING + 1);
    addUp(
      element(out, p * channels), element(x, b * height * width * channels), width, channels, weight,
      max(top, 0), min(top + at(table, WINDOW), height), max(left, 0), min(left + at(table, WINDOW + 1), width),
    );
  }
}

/** Pixels [begin, end) of the output: out[y, x] = weight · the sum of the windows, pixels of the input, that cover it. */
export function window_spread(begin: i32, end: i32, out: usize, table: usize, x: usize, channels: i32, weight: f32): void {
  const down = at(table, OUT), across = at(table, OUT + 1);
  const height = at(table, INPUT), width = at(table, INPUT + 1);
  for (let p = begin; p < end; p++) {
    const row = p / across;
    const b = row / down;
    const y = row - b * down + at(table, PADDING);
    const z = p - row * across + at(table, PADDING + 1);
    addUp(
      element(out, p * channels), element(x, b * height * width * channels), width, channels, weight,
      first(y, at(table, WINDOW), at(table, STRIDE)), min(y / at(table, STRIDE) + 1, height),
      first(z, at(table, WINDOW + 1), at(table, STRIDE + 1)), min(z / at(table, STRIDE + 1) + 1, width),
    );
  }
}

/** The first window that reaches a position. */
// @ts-ignore: decorator
@inline
function first(position: i32, window: i32, stride: i32): i32 {
  return position < window ? 0 : (position - window) / stride + 1;
}

// @ts-ignore: decorator
@inline
function addUp(
  to: usize, image: usize, width: i32, channels: i32, weight: f32, top: i32, bottom: i32, left: i32, right: i32,
): void {
  for (let c = 0; c < channels; c += 4) {
    let sum = splat(0);
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) sum = f32x4.add(sum, v128.load(element(image, (y * width + x) * channels + c)));
    }
    storeLanes(element(to, c), f32x4.mul(splat(weight), sum), channels - c);
  }
}
