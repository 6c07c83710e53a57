// Convolutions as matrix products whose left side is gathered from an image: out[pixel, o] = Σ image[pixel under tap, c] · w[tap, c, o].
//
// The pixel under a tap of pixel p is (p · scale + shift + tap · step) / spread, where that is whole and inside; zeros elsewhere.
import { behindTiles, DEPTH, PANEL_BYTES, packRows, STRIP_BYTES, strips, tiles } from "./gemm";
import { at } from "./matmul";
import { ZEROS } from "./memory";

// The table of a convolution; y before x.
const N: i32 = 1;
const ROWS: i32 = 5;
const ROW_BLOCKS: i32 = 6;
const PANELS: i32 = 7;
const PANEL_BLOCKS: i32 = 8;
const SHARES: i32 = 9;
const SHARE: i32 = 10;
const PIXELS: i32 = 11; // that are walked
const SIZE: i32 = 12; // of the walked image
const CHANNELS: i32 = 14;
const TAPS: i32 = 15;
const IMAGE_SIZE: i32 = 17;
const SCALE: i32 = 19;
const SHIFT: i32 = 21;
const STEP: i32 = 23;
const SPREAD: i32 = 25;
const STRIDES: i32 = 27; // of batch, y and x in the image, in elements

/** What is kept of a walked pixel: the address of its image, and its place under the first tap. */
const PLACE: usize = 12;

/** Notes the places of pixels [first, first + count). */
function notePlaces(places: usize, image: usize, table: usize, first: i32, count: i32): void {
  const height = at(table, SIZE), width = at(table, SIZE + 1);
  let row = first / width;
  let x = first - row * width;
  let batch = row / height;
  let y = row - batch * height;
  for (let i = 0; i < count; i++) {
    store<usize>(places, image + (<usize>(batch * at(table, STRIDES)) << 2));
    store<i32>(places, y * at(table, SCALE) + at(table, SHIFT), 4);
    store<i32>(places, x * at(table, SCALE + 1) + at(table, SHIFT + 1), 8);
    places += PLACE;
    if (++x < width) continue;
    x = 0;
    if (++y < height) continue;
    y = 0;
    batch++;
  }
}

/** The address of the image's pixel under a tap, of zeros where there is none. */
// @ts-ignore: decorator
@inline
function pixel(place: usize, table: usize, down: i32, right: i32): usize {
  let y = load<i32>(place, 4) + down;
  let x = load<i32>(place, 8) + right;
  const spreadY = at(table, SPREAD), spreadX = at(table, SPREAD + 1);
  if ((spreadY | spreadX) > 1) {
    if (y < 0 || x < 0 || y % spreadY != 0 || x % spreadX != 0) return ZEROS;
    y /= spreadY;
    x /= spreadX;
  }
  if (<u32>y >= <u32>at(table, IMAGE_SIZE) || <u32>x >= <u32>at(table, IMAGE_SIZE + 1)) return ZEROS;
  return load<usize>(place) + (<usize>(y * at(table, STRIDES + 1) + x * at(table, STRIDES + 2)) << 2);
}

/** Terms [k0, k0 + count) of a strip of four pixels. */
function packPixels(to: usize, places: usize, table: usize, k0: i32, count: i32): void {
  const channels = at(table, CHANNELS), tapsX = at(table, TAPS + 1);
  const stepY = at(table, STEP), stepX = at(table, STEP + 1);
  let tap = k0 / channels;
  let channel = k0 - tap * channels;
  let tapY = tap / tapsX;
  let tapX = tap - tapY * tapsX;
  while (count > 0) {
    const run = min(channels - channel, count);
    const down = tapY * stepY, right = tapX * stepX;
    const skip = <usize>channel << 2;
    const p = pixel(places, table, down, right) + skip;
    const q = pixel(places + PLACE, table, down, right) + skip;
    const r = pixel(places + 2 * PLACE, table, down, right) + skip;
    const s = pixel(places + 3 * PLACE, table, down, right) + skip;
    packRows(to, STRIP_BYTES, p, q, r, s, run);
    to += <usize>run * STRIP_BYTES;
    count -= run;
    channel = 0;
    if (++tapX < tapsX) continue;
    tapX = 0;
    tapY++;
  }
}

/** Blocks [begin, end) of pixels and panels of channels, the last innermost; w is packed. */
export function conv(begin: i32, end: i32, out: usize, table: usize, image: usize, packed: usize): void {
  const n = at(table, N), pixels = at(table, PIXELS);
  const k = at(table, CHANNELS) * at(table, TAPS) * at(table, TAPS + 1);
  const blockRows = at(table, ROWS);
  const blockPanels = at(table, PANELS), panelBlocks = at(table, PANEL_BLOCKS);
  const panels = (n + 7) >> 3;
  const step = <usize>n << 2;
  const places = behindTiles();
  const panelStep = <usize>k * PANEL_BYTES;
  for (let index = begin; index < end; index++) {
    const block = index / panelBlocks;
    const first = (index - block * panelBlocks) * blockPanels;
    const last = min(first + blockPanels, panels);
    const row = block * blockRows;
    const rows = min(blockRows, pixels - row);
    // The strip at the end may reach over it: its last pixels are noted, and their results dropped.
    notePlaces(places, image, table, row, rows);
    for (let i = rows; i & 3; i++) memory.copy(places + <usize>i * PLACE, places + <usize>(rows - 1) * PLACE, PLACE);
    for (let k0 = 0; k0 < k; k0 += DEPTH) {
      const count = min(DEPTH, k - k0);
      let strip = strips();
      for (let i = 0; i < rows; i += 4) {
        packPixels(strip, places + <usize>i * PLACE, table, k0, count);
        strip += <usize>count * STRIP_BYTES;
      }
      const to = out + <usize>row * step;
      tiles(count, packed + <usize>k0 * PANEL_BYTES, panelStep, first, last, to, step, rows, n, k0 > 0);
    }
  }
}

/** out[share][tap, c, o] = Σ image[pixel under tap, c] · g[pixel, o]: blocks [begin, end) of shares of pixels, of rows (tap, c), of panels. */
export function conv_weight(begin: i32, end: i32, out: usize, table: usize, image: usize, packed: usize): void {
  const n = at(table, N), pixels = at(table, PIXELS), channels = at(table, CHANNELS);
  const m = at(table, TAPS) * at(table, TAPS + 1) * channels;
  const blockRows = at(table, ROWS), rowBlocks = at(table, ROW_BLOCKS);
  const blockPanels = at(table, PANELS), panelBlocks = at(table, PANEL_BLOCKS);
  const share = at(table, SHARE);
  const panels = (n + 7) >> 3;
  const step = <usize>n << 2;
  const places = behindTiles();
  const panelStep = <usize>pixels * PANEL_BYTES;
  for (let index = begin; index < end; index++) {
    const rest = index / panelBlocks;
    const first = (index - rest * panelBlocks) * blockPanels;
    const last = min(first + blockPanels, panels);
    const part = rest / rowBlocks;
    const row = (rest - part * rowBlocks) * blockRows;
    const rows = min(blockRows, m - row);
    const to = out + (<usize>part * <usize>m + <usize>row) * step;
    const stop = min(pixels, (part + 1) * share);
    for (let k0 = part * share; k0 < stop; k0 += DEPTH) {
      const count = min(DEPTH, stop - k0);
      notePlaces(places, image, table, k0, count);
      packRowsOfTaps(places, table, row, rows, count);
      tiles(count, packed + <usize>k0 * PANEL_BYTES, panelStep, first, last, to, step, rows, n, k0 > part * share);
    }
  }
}

/** Strips of rows (tap, channel), whose terms are the noted pixels. */
function packRowsOfTaps(places: usize, table: usize, row: i32, rows: i32, count: i32): void {
  const channels = at(table, CHANNELS), tapsX = at(table, TAPS + 1);
  const stepY = at(table, STEP), stepX = at(table, STEP + 1);
  const pointers = places + <usize>DEPTH * PLACE;
  let tap = -1;
  for (let i = 0; i < rows; ) {
    const next = (row + i) / channels;
    const channel = row + i - next * channels;
    if (next != tap) {
      tap = next;
      const tapY = tap / tapsX;
      const down = tapY * stepY, right = (tap - tapY * tapsX) * stepX;
      for (let k = 0; k < count; k++) {
        store<usize>(pointers + (<usize>k << 2), pixel(places + <usize>k * PLACE, table, down, right));
      }
    }
    const skip = <usize>channel << 2;
    const strip = strips() + <usize>(i >> 2) * <usize>count * STRIP_BYTES + (<usize>(i & 3) << 2);
    if ((i & 3) == 0 && channel + 4 <= channels) {
      for (let k = 0; k < count; k++) {
        v128.store(strip + <usize>k * STRIP_BYTES, v128.load(load<usize>(pointers + (<usize>k << 2)) + skip));
      }
      i += 4;
    } else {
      for (let k = 0; k < count; k++) {
        store<u32>(strip + <usize>k * STRIP_BYTES, load<u32>(load<usize>(pointers + (<usize>k << 2)) + skip));
      }
      i++;
    }
  }
}
