// Convolutions of 3 × 3 taps and stride 1 by Winograd's F(2 × 2, 3 × 3): 16 products for 2 × 2 pixels instead of 36 (Lavin and Gray 2016).
//
// out = Aᵀ[Σ_c (G w Gᵀ) ∘ (Bᵀ d B)]A over tiles d of 4 × 4 pixels, two apart. Each of the 16 frequencies is a matrix product.
import { splat } from "./functions";
import { PANEL_BYTES, packRows, tile } from "./gemm";
import { at } from "./matmul";
import { element, scratch, storeLanes, ZEROS } from "./memory";

// The table; y before x. Strides are in elements.
export const CHANNELS: i32 = 0;
export const N: i32 = 1;
export const SIZE: i32 = 2; // of the output
const IMAGE_SIZE: i32 = 4;
const SHIFT: i32 = 6; // of the pixel under the first tap
const STRIDES: i32 = 8; // of batch, y and x in the image
export const TILES: i32 = 11; // all of them, and in y and x
const BLOCK: i32 = 14; // tiles in a block
export const PANELS: i32 = 15; // in a block
export const PANEL_BLOCKS: i32 = 16;
const WEIGHT_STRIDES: i32 = 17; // of tap y, tap x, channel and output channel
const WEIGHT_START: i32 = 21;

export const FREQUENCIES: i32 = 16;
/** Between the parts of different frequencies, which would else lie in the same sets of the cache. */
export const SKEW: usize = 64;

// A block's scratch: the products of one panel, pointers to a strip's pixels, transformed pixels, then the packed strips.
const PRODUCTS_BYTES: usize = 16 * (64 * 32 + SKEW);
const POINTERS_BYTES: usize = 4 * 16 * 4;
const TURNED_BYTES: usize = 4 * 16 * 16;

/** Pairs [begin, end) of panel and channel: packed[frequency][panel][channel][8] = G w Gᵀ. */
export function winograd_weights(begin: i32, end: i32, packed: usize, table: usize, w: usize): void {
  const channels = at(table, CHANNELS), n = at(table, N);
  const panels = (n + 7) >> 3;
  const from = w + <usize>(at(table, WEIGHT_START) << 2);
  const frequency = <usize>(panels * channels) * PANEL_BYTES;
  for (let index = begin; index < end; index++) {
    const panel = index / channels;
    const channel = index - panel * channels;
    const source = from + <usize>((channel * at(table, WEIGHT_STRIDES + 2)) << 2);
    for (let half = 0; half < 2; half++) {
      const o = (panel << 3) + (half << 2);
      if (o < n) weightsOfFour(packed + <usize>index * PANEL_BYTES + <usize>(half << 4), frequency, table, source, o, n);
    }
  }
}

function weightsOfFour(to: usize, frequency: usize, table: usize, source: usize, o: i32, n: i32): void {
  // Columns of G w, of w's three columns.
  const stored = scratch;
  for (let x = 0; x < 3; x++) {
    const a = weight(table, source, 0, x, o, n), b = weight(table, source, 1, x, o, n), c = weight(table, source, 2, x, o, n);
    const sum = f32x4.add(a, c);
    v128.store(stored + <usize>(x << 4), a);
    v128.store(stored + <usize>((3 + x) << 4), f32x4.mul(splat(0.5), f32x4.add(sum, b)));
    v128.store(stored + <usize>((6 + x) << 4), f32x4.mul(splat(0.5), f32x4.sub(sum, b)));
    v128.store(stored + <usize>((9 + x) << 4), c);
  }
  for (let y = 0; y < 4; y++) {
    const row = stored + <usize>(y * 48);
    const a = v128.load(row), b = v128.load(row, 16), c = v128.load(row, 32);
    const sum = f32x4.add(a, c);
    v128.store(to, a);
    v128.store(to + frequency, f32x4.mul(splat(0.5), f32x4.add(sum, b)));
    v128.store(to + 2 * frequency, f32x4.mul(splat(0.5), f32x4.sub(sum, b)));
    v128.store(to + 3 * frequency, c);
    to += 4 * frequency;
  }
}

/** Four output channels' weights of a tap; those past the last repeat it. */
// @ts-ignore: decorator
@inline
function weight(table: usize, source: usize, y: i32, x: i32, o: i32, n: i32): v128 {
  const from = source + <usize>((y * at(table, WEIGHT_STRIDES) + x * at(table, WEIGHT_STRIDES + 1)) << 2);
  const step = at(table, WEIGHT_STRIDES + 3);
  if (step == 1) return v128.load(element(from, o));
  return f32x4(
    load<f32>(element(from, o * step)), load<f32>(element(from, min(o + 1, n - 1) * step)),
    load<f32>(element(from, min(o + 2, n - 1) * step)), load<f32>(element(from, min(o + 3, n - 1) * step)),
  );
}

/** Blocks [begin, end) of tiles and panels, the last innermost. */
export function winograd(begin: i32, end: i32, out: usize, table: usize, image: usize, packed: usize): void {
  const channels = at(table, CHANNELS), n = at(table, N), all = at(table, TILES);
  const blockTiles = at(table, BLOCK), blockPanels = at(table, PANELS), panelBlocks = at(table, PANEL_BLOCKS);
  const panels = (n + 7) >> 3;
  const strips = scratch + PRODUCTS_BYTES + POINTERS_BYTES + TURNED_BYTES;
  const stripBytes = <usize>((channels + 3) >> 2) * 64;
  const frequencyStrips = <usize>(blockTiles >> 2) * stripBytes + SKEW;
  const frequencyPanels = <usize>(panels * channels) * PANEL_BYTES;
  const frequencyProducts = <usize>blockTiles * PANEL_BYTES + SKEW;
  for (let index = begin; index < end; index++) {
    const block = index / panelBlocks;
    const first = (index - block * panelBlocks) * blockPanels;
    const last = min(first + blockPanels, panels);
    const start = block * blockTiles;
    const tiles = min(blockTiles, all - start);
    for (let i = 0; i < tiles; i += 4) {
      packTiles(strips + <usize>(i >> 2) * stripBytes, frequencyStrips, table, image, start + i, channels);
    }
    for (let panel = first; panel < last; panel++) {
      for (let f = 0; f < FREQUENCIES; f++) {
        const b = packed + <usize>f * frequencyPanels + <usize>(panel * channels) * PANEL_BYTES;
        let a = strips + <usize>f * frequencyStrips;
        let c = scratch + <usize>f * frequencyProducts;
        for (let i = 0; i < tiles; i += 4) {
          tile(channels, a, b, c, PANEL_BYTES, false);
          a += stripBytes;
          c += 4 * PANEL_BYTES;
        }
      }
      for (let i = 0; i < tiles; i++) {
        const from = scratch + <usize>i * PANEL_BYTES;
        storeTile(out, table, from, frequencyProducts, start + i, panel << 3);
        if ((panel << 3) + 4 < n) storeTile(out, table, from + 16, frequencyProducts, start + i, (panel << 3) + 4);
      }
    }
  }
}

/** Packs Bᵀ d B of four tiles: to[frequency][channel][4]. */
function packTiles(to: usize, frequency: usize, table: usize, image: usize, first: i32, channels: i32): void {
  const pointers = scratch + PRODUCTS_BYTES;
  const turned = pointers + POINTERS_BYTES;
  // Tiles past the last repeat it.
  const final = at(table, TILES) - 1;
  for (let i = 0; i < 4; i++) notePixels(pointers + <usize>(i << 6), table, image, min(first + i, final));
  for (let c = 0; c < channels; c += 4) {
    const skip = <usize>c << 2;
    for (let i = 0; i < 4; i++) {
      turn(turned + <usize>(i << 4), 64, pointers + <usize>(i << 6), skip);
    }
    let from = turned;
    let strip = to + (<usize>c << 4);
    for (let f = 0; f < FREQUENCIES; f++) {
      packRows(strip, 16, from, from + 16, from + 32, from + 48, 4);
      from += 64;
      strip += frequency;
    }
  }
}

/** The addresses of a tile's 16 pixels. */
export function notePixels(pointers: usize, table: usize, image: usize, index: i32): void {
  const down = at(table, TILES + 1), across = at(table, TILES + 2);
  const row = index / across;
  const batch = row / down;
  const top = 2 * (row - batch * down) + at(table, SHIFT);
  const left = 2 * (index - row * across) + at(table, SHIFT + 1);
  const sample = image + (<usize>(batch * at(table, STRIDES)) << 2);
  for (let y = top; y < top + 4; y++) {
    for (let x = left; x < left + 4; x++) {
      const isInside = <u32>y < <u32>at(table, IMAGE_SIZE) && <u32>x < <u32>at(table, IMAGE_SIZE + 1);
      const pixel = sample + (<usize>(y * at(table, STRIDES + 1) + x * at(table, STRIDES + 2)) << 2);
      store<usize>(pointers, isInside ? pixel : ZEROS);
      pointers += 4;
    }
  }
}

/** Bᵀ d B of one tile and four channels; the frequencies are `step` bytes apart in `to`. */
// @ts-ignore: decorator
@inline
export function turn(to: usize, step: usize, pointers: usize, skip: usize): void {
  // Bᵀ turns a, b, c, d into a − c, b + c, c − b, b − d.
  let column = to;
  for (let x: usize = 0; x < 4; x++) {
    const a = v128.load(load<usize>(pointers + (x << 2)) + skip);
    const b = v128.load(load<usize>(pointers + (x << 2), 16) + skip);
    const c = v128.load(load<usize>(pointers + (x << 2), 32) + skip);
    const d = v128.load(load<usize>(pointers + (x << 2), 48) + skip);
    v128.store(column, f32x4.sub(a, c));
    v128.store(column + 4 * step, f32x4.add(b, c));
    v128.store(column + 8 * step, f32x4.sub(c, b));
    v128.store(column + 12 * step, f32x4.sub(b, d));
    column += step;
  }
  let row = to;
  for (let y = 0; y < 4; y++) {
    const a = v128.load(row), b = v128.load(row + step), c = v128.load(row + 2 * step), d = v128.load(row + 3 * step);
    v128.store(row, f32x4.sub(a, c));
    v128.store(row + step, f32x4.add(b, c));
    v128.store(row + 2 * step, f32x4.sub(c, b));
    v128.store(row + 3 * step, f32x4.sub(b, d));
    row += 4 * step;
  }
}

/** Aᵀ m A of one tile and four output channels, to the pixels that exist. */
function storeTile(out: usize, table: usize, m: usize, frequency: usize, index: i32, o: i32): void {
  const down = at(table, TILES + 1), across = at(table, TILES + 2);
  const height = at(table, SIZE), width = at(table, SIZE + 1), n = at(table, N);
  const row = index / across;
  const batch = row / down;
  const y = 2 * (row - batch * down), x = 2 * (index - row * across);
  const to = element(out, ((batch * height + y) * width + x) * n + o);
  // Aᵀ turns a, b, c, d into a + b + c and b − c − d.
  let top0 = splat(0), top1 = splat(0), bottom0 = splat(0), bottom1 = splat(0);
  for (let k = 0; k < 4; k++) {
    const column = m + <usize>k * frequency;
    const a = v128.load(column), b = v128.load(column + 4 * frequency);
    const c = v128.load(column + 8 * frequency), d = v128.load(column + 12 * frequency);
    const p = f32x4.add(f32x4.add(a, b), c), q = f32x4.sub(f32x4.sub(b, c), d);
    if (k < 3) {
      top0 = f32x4.add(top0, p);
      bottom0 = f32x4.add(bottom0, q);
    }
    if (k == 1) {
      top1 = p;
      bottom1 = q;
    } else if (k > 1) {
      top1 = f32x4.sub(top1, p);
      bottom1 = f32x4.sub(bottom1, q);
    }
  }
  const hasRight = x + 1 < width, hasBottom = y + 1 < height;
  const left = n - o;
  const step = <usize>n << 2;
  storeLanes(to, top0, left);
  if (hasRight) storeLanes(to + step, top1, left);
  if (hasBottom) storeLanes(to + step * width, bottom0, left);
  if (hasRight && hasBottom) storeLanes(to + step * (width + 1), bottom1, left);
}
