// The weight's cotangent of winograd.as, its transpose: Gᵀ[Σ_tiles (Bᵀ d B) ∘ (A g Aᵀ)]G.
import { splat } from "./functions";
import { behindTiles, PANEL_BYTES, STRIP_BYTES, tileWithin } from "./gemm";
import { at } from "./matmul";
import { element, scratch, storeLanes, ZEROS } from "./memory";
import { CHANNELS, FREQUENCIES, N, notePixels, PANEL_BLOCKS, PANELS, SIZE, SKEW, TILES, turn } from "./winograd";

// The table of winograd.as, continued. A block is a share of the tiles, and a part of both kinds of channels.
const SHARE: i32 = 22; // tiles in a share
const SHARES: i32 = 23;
const ROWS: i32 = 24; // channels in a block
const ROW_BLOCKS: i32 = 25;
const DEPTH: i32 = 26; // tiles that are summed at a time

/** Blocks [begin, end): sums[share][frequency][channel][output channel]. */
export function winograd_grad(begin: i32, end: i32, sums: usize, table: usize, image: usize, g: usize): void {
  const channels = at(table, CHANNELS), n = at(table, N), all = at(table, TILES);
  const blockRows = at(table, ROWS), rowBlocks = at(table, ROW_BLOCKS);
  const blockPanels = at(table, PANELS), panelBlocks = at(table, PANEL_BLOCKS);
  const share = at(table, SHARE), depth = at(table, DEPTH);
  const depthStrip = <usize>depth * STRIP_BYTES, depthPanel = <usize>depth * PANEL_BYTES;
  const pointers = behindTiles();
  const strips = pointers + 128;
  const step = <usize>n << 2;
  for (let index = begin; index < end; index++) {
    const rest = index / panelBlocks;
    const o = (index - rest * panelBlocks) * blockPanels << 3;
    const part = rest / rowBlocks;
    const channel = (rest - part * rowBlocks) * blockRows;
    const rows = min(blockRows, channels - channel);
    const columns = min(blockPanels << 3, n - o);
    const stripFrequency = <usize>((rows + 3) >> 2) * depthStrip + SKEW;
    const panelFrequency = <usize>((columns + 7) >> 3) * depthPanel + SKEW;
    const panels = strips + 16 * stripFrequency;
    const stop = min(all, (part + 1) * share);
    for (let first = part * share; first < stop; first += depth) {
      const count = min(depth, stop - first);
      for (let t = 0; t < count; t++) {
        notePixels(pointers, table, image, first + t);
        for (let c = 0; c < rows; c += 4) {
          const strip = strips + <usize>(c >> 2) * depthStrip + <usize>(t << 4);
          turn(strip, stripFrequency, pointers, <usize>(channel + c) << 2);
        }
        noteGradients(pointers, table, g, first + t);
        for (let c = 0; c < columns; c += 4) {
          const panel = panels + <usize>(c >> 3) * depthPanel + <usize>((t << 5) + ((c & 4) << 2));
          spread(panel, panelFrequency, pointers, <usize>(o + c) << 2);
        }
      }
      for (let f = 0; f < FREQUENCIES; f++) {
        const to = element(sums, ((part * FREQUENCIES + f) * channels + channel) * n + o);
        for (let j = 0; j < columns; j += 8) {
          const b = panels + <usize>f * panelFrequency + <usize>(j >> 3) * depthPanel;
          let a = strips + <usize>f * stripFrequency;
          for (let i = 0; i < rows; i += 4) {
            tileWithin(count, a, b, element(to, i * n + j), step, rows - i, columns - j, first > part * share);
            a += depthStrip;
          }
        }
      }
    }
  }
}

/** The addresses of a tile's 2 × 2 pixels of the result. */
function noteGradients(pointers: usize, table: usize, g: usize, index: i32): void {
  const down = at(table, TILES + 1), across = at(table, TILES + 2);
  const height = at(table, SIZE), width = at(table, SIZE + 1);
  const row = index / across;
  const batch = row / down;
  const top = 2 * (row - batch * down), left = 2 * (index - row * across);
  for (let y = top; y < top + 2; y++) {
    for (let x = left; x < left + 2; x++) {
      const pixel = element(g, ((batch * height + y) * width + x) * at(table, N));
      store<usize>(pointers, y < height && x < width ? pixel : ZEROS);
      pointers += 4;
    }
  }
}

/** A g Aᵀ of one tile and four channels; the frequencies are `step` bytes apart in `to`. */
// @ts-ignore: decorator
@inline
function spread(to: usize, step: usize, pointers: usize, skip: usize): void {
  // A turns a, b into a, a + b, a − b, −b.
  const a = v128.load(load<usize>(pointers) + skip), b = v128.load(load<usize>(pointers, 4) + skip);
  const c = v128.load(load<usize>(pointers, 8) + skip), d = v128.load(load<usize>(pointers, 12) + skip);
  spreadRow(to, step, a, b);
  spreadRow(to + 4 * step, step, f32x4.add(a, c), f32x4.add(b, d));
  spreadRow(to + 8 * step, step, f32x4.sub(a, c), f32x4.sub(b, d));
  spreadRow(to + 12 * step, step, f32x4.neg(c), f32x4.neg(d));
}

// @ts-ignore: decorator
@inline
function spreadRow(to: usize, step: usize, a: v128, b: v128): void {
  v128.store(to, a);
  v128.store(to + step, f32x4.add(a, b));
  v128.store(to + 2 * step, f32x4.sub(a, b));
  v128.store(to + 3 * step, f32x4.neg(b));
}

/** Channels [begin, end): out[tap][channel] = Gᵀ (the sum of the shares) G. */
export function winograd_grad_taps(begin: i32, end: i32, out: usize, table: usize, sums: usize): void {
  const channels = at(table, CHANNELS), n = at(table, N), shares = at(table, SHARES);
  const frequency = channels * n;
  const half = splat(0.5);
  for (let channel = begin; channel < end; channel++) {
    for (let o = 0; o < n; o += 4) {
      const from = element(sums, channel * n + o);
      for (let x = 0; x < 4; x++) {
        const a = sumOfShares(from, x, frequency, shares), b = sumOfShares(from, 4 + x, frequency, shares);
        const c = sumOfShares(from, 8 + x, frequency, shares), d = sumOfShares(from, 12 + x, frequency, shares);
        // Gᵀ turns a, b, c, d into a + (b + c) / 2, (b − c) / 2, (b + c) / 2 + d.
        const middle = f32x4.mul(half, f32x4.add(b, c));
        const column = scratch + <usize>(x << 4);
        v128.store(column, f32x4.add(a, middle));
        v128.store(column, f32x4.mul(half, f32x4.sub(b, c)), 64);
        v128.store(column, f32x4.add(middle, d), 128);
      }
      const to = element(out, channel * n + o);
      for (let y = 0; y < 3; y++) {
        const row = scratch + <usize>(y << 6);
        const a = v128.load(row), b = v128.load(row, 16), c = v128.load(row, 32), d = v128.load(row, 48);
        const middle = f32x4.mul(half, f32x4.add(b, c));
        storeLanes(element(to, 3 * y * frequency), f32x4.add(a, middle), n - o);
        storeLanes(element(to, (3 * y + 1) * frequency), f32x4.mul(half, f32x4.sub(b, c)), n - o);
        storeLanes(element(to, (3 * y + 2) * frequency), f32x4.add(middle, d), n - o);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function sumOfShares(from: usize, f: i32, frequency: i32, shares: i32): v128 {
  let at = element(from, f * frequency);
  let sum = v128.load(at);
  for (let s = 1; s < shares; s++) {
    at = element(at, FREQUENCIES * frequency);
    sum = f32x4.add(sum, v128.load(at));
  }
  return sum;
}
