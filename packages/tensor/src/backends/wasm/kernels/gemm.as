// The heart of all matrix products: c = Σ_k a[k] · b[k] over tiles in registers, from packed panels (Goto and van de Geijn 2008).
//
// a is packed in strips of 4 rows, [k][4], or of 6, by each thread for itself; b in panels of 8 columns, [k][8], once for all. Lanes
// past the last row or column hold whatever lay behind: they end in places that nobody reads. Tiles of 6 × 8 take 8 loads for 12
// multiply-adds where those of 4 × 8 take 6 for 8, and leave no register free.
import { fma, splat } from "./functions";
import { scratch } from "./memory";

/** Terms that are summed at a time: a panel of b of that length stays in the first cache. */
export const DEPTH: i32 = 256;
/** Rows of a that are packed at a time at most: 128 KiB. */
const MAX_ROWS: i32 = 128;
export const STRIP_BYTES: usize = 16;
export const TALL_STRIP_BYTES: usize = 24;
export const PANEL_BYTES: usize = 32;

/** Where this thread packs a, and where it keeps a tile that is cut off by an edge. */
// @ts-ignore: decorator
@inline
export function strips(): usize {
  return scratch;
}

/** 192 bytes behind the strips; what follows them is the callers'. */
// @ts-ignore: decorator
@inline
function edgeTile(): usize {
  return scratch + <usize>(4 * MAX_ROWS * DEPTH);
}

// @ts-ignore: decorator
@inline
export function behindTiles(): usize {
  return edgeTile() + 192;
}

/** The rows of one strip times the columns of one panel, stored in or added to c, whose rows are `step` bytes apart. */
export function tile(k: i32, a: usize, b: usize, c: usize, step: usize, adds: bool): void {
  let c00 = splat(0), c01 = splat(0), c10 = splat(0), c11 = splat(0);
  let c20 = splat(0), c21 = splat(0), c30 = splat(0), c31 = splat(0);
  const end = a + <usize>k * STRIP_BYTES;
  while (a < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a);
    c00 = fma(x, b0, c00);
    c01 = fma(x, b1, c01);
    x = v128.load_splat<f32>(a, 4);
    c10 = fma(x, b0, c10);
    c11 = fma(x, b1, c11);
    x = v128.load_splat<f32>(a, 8);
    c20 = fma(x, b0, c20);
    c21 = fma(x, b1, c21);
    x = v128.load_splat<f32>(a, 12);
    c30 = fma(x, b0, c30);
    c31 = fma(x, b1, c31);
    a += STRIP_BYTES;
    b += PANEL_BYTES;
  }
  storeRow(c, c00, c01, adds);
  storeRow((c += step), c10, c11, adds);
  storeRow((c += step), c20, c21, adds);
  storeRow((c += step), c30, c31, adds);
}

/** The same for a strip of six rows, but left in edgeTile(): V8 spills registers in the loop where anything but plain stores follows. */
function tallTile(k: i32, a: usize, b: usize): void {
  let c00 = splat(0), c01 = splat(0), c10 = splat(0), c11 = splat(0), c20 = splat(0), c21 = splat(0);
  let c30 = splat(0), c31 = splat(0), c40 = splat(0), c41 = splat(0), c50 = splat(0), c51 = splat(0);
  const end = a + <usize>k * TALL_STRIP_BYTES;
  while (a < end) {
    const b0 = v128.load(b), b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a);
    c00 = fma(x, b0, c00);
    c01 = fma(x, b1, c01);
    x = v128.load_splat<f32>(a, 4);
    c10 = fma(x, b0, c10);
    c11 = fma(x, b1, c11);
    x = v128.load_splat<f32>(a, 8);
    c20 = fma(x, b0, c20);
    c21 = fma(x, b1, c21);
    x = v128.load_splat<f32>(a, 12);
    c30 = fma(x, b0, c30);
    c31 = fma(x, b1, c31);
    x = v128.load_splat<f32>(a, 16);
    c40 = fma(x, b0, c40);
    c41 = fma(x, b1, c41);
    x = v128.load_splat<f32>(a, 20);
    c50 = fma(x, b0, c50);
    c51 = fma(x, b1, c51);
    a += TALL_STRIP_BYTES;
    b += PANEL_BYTES;
  }
  const to = edgeTile();
  v128.store(to, c00);
  v128.store(to, c01, 16);
  v128.store(to, c10, 32);
  v128.store(to, c11, 48);
  v128.store(to, c20, 64);
  v128.store(to, c21, 80);
  v128.store(to, c30, 96);
  v128.store(to, c31, 112);
  v128.store(to, c40, 128);
  v128.store(to, c41, 144);
  v128.store(to, c50, 160);
  v128.store(to, c51, 176);
}

// @ts-ignore: decorator
@inline
function storeRow(to: usize, x: v128, y: v128, adds: bool): void {
  v128.store(to, adds ? f32x4.add(v128.load(to), x) : x);
  v128.store(to, adds ? f32x4.add(v128.load(to, 16), y) : y, 16);
}

/** As `tile`, where c has only so many rows and columns of it. */
export function tileWithin(
  k: i32, a: usize, b: usize, c: usize, step: usize, rows: i32, columns: i32, adds: bool,
): void {
  if (rows >= 4 && columns >= 8) {
    tile(k, a, b, c, step, adds);
  } else {
    tile(k, a, b, edgeTile(), PANEL_BYTES, false);
    storeEdge(c, step, min(rows, 4), min(columns, 8), adds);
  }
}

/** Moves what `tallTile` left to c. */
function storeTall(c: usize, step: usize, adds: bool): void {
  let from = edgeTile();
  for (let i = 0; i < 6; i++) {
    storeRow(c, v128.load(from), v128.load(from, 16), adds);
    c += step;
    from += PANEL_BYTES;
  }
}

/** The same for so many rows and columns. */
function storeEdge(c: usize, step: usize, rows: i32, columns: i32, adds: bool): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      const to = c + <usize>i * step + (<usize>j << 2);
      const value = load<f32>(edgeTile() + <usize>i * PANEL_BYTES + (<usize>j << 2));
      store<f32>(to, adds ? load<f32>(to) + value : value);
    }
  }
}

/**
 * The packed strips of `rows` rows, the first `tall` of them in strips of six, times panels [first, last) of b over k terms.
 * @param b the first of those terms in panel 0; panels are `panelStep` bytes apart
 * @param c row 0, column 0
 */
export function tiles(
  k: i32, b: usize, panelStep: usize, first: i32, last: i32, c: usize, step: usize, rows: i32, n: i32, adds: bool,
  tall: i32 = 0,
): void {
  for (let j = first; j < last; j++) {
    const panel = b + <usize>j * panelStep;
    const columns = n - (j << 3);
    let a = strips();
    let to = c + (<usize>j << 5);
    for (let i = 0; i < tall; i += 6) {
      // Called in two places, so that no compiler puts its loop in here, where registers would not do.
      if (columns >= 8) {
        tallTile(k, a, panel);
        storeTall(to, step, adds);
      } else {
        tallTile(k, a, panel);
        storeEdge(to, step, 6, columns, adds);
      }
      a += <usize>k * TALL_STRIP_BYTES;
      to += 6 * step;
    }
    for (let i = tall; i < rows; i += 4) {
      tileWithin(k, a, panel, to, step, rows - i, columns, adds);
      a += <usize>k * STRIP_BYTES;
      to += 4 * step;
    }
  }
}

/** How many of so many rows go in strips of six, so that none is left over in those of four, if their number is even. */
export function tallRows(rows: i32): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return 0; // unfused, the products want a register as well
  const sixes = rows / 6;
  const rest = rows - 6 * sixes;
  return rest == 0 || rest > 2 ? 6 * sixes : max(0, 6 * (sixes - 1));
}

/** Packs four runs of numbers side by side: to[k][0 … 3] = (p[k], q[k], r[k], s[k]), k's `step` bytes apart. */
export function packRows(to: usize, step: usize, p: usize, q: usize, r: usize, s: usize, count: i32): void {
  let left = count;
  for (; left >= 4; left -= 4) {
    const a = v128.load(p), b = v128.load(q), c = v128.load(r), d = v128.load(s);
    const abLow = i8x16.shuffle(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const abHigh = i8x16.shuffle(a, b, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    const cdLow = i8x16.shuffle(c, d, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
    const cdHigh = i8x16.shuffle(c, d, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    v128.store(to, i8x16.shuffle(abLow, cdLow, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    v128.store(to + step, i8x16.shuffle(abLow, cdLow, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    to += step << 1;
    v128.store(to, i8x16.shuffle(abHigh, cdHigh, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23));
    v128.store(to + step, i8x16.shuffle(abHigh, cdHigh, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31));
    to += step << 1;
    p += 16;
    q += 16;
    r += 16;
    s += 16;
  }
  for (; left > 0; left--) {
    store<u32>(to, load<u32>(p));
    store<u32>(to, load<u32>(q), 4);
    store<u32>(to, load<u32>(r), 8);
    store<u32>(to, load<u32>(s), 12);
    to += step;
    p += 4;
    q += 4;
    r += 4;
    s += 4;
  }
}

/** Packs four neighbours of each of `count` rows: to[k] = from[k][0 … 3]. */
// @ts-ignore: decorator
@inline
export function packColumns(to: usize, step: usize, from: usize, fromStep: usize, count: i32): void {
  for (let k = 0; k < count; k++) {
    v128.store(to, v128.load(from));
    to += step;
    from += fromStep;
  }
}

/** Four rows of a matrix from row i on, terms [k0, k0 + count): of strides in elements, one of which is 1. */
// @ts-ignore: decorator
@inline
export function packStrip(
  to: usize, step: usize, from: usize, i: i32, rows: i32, rowStride: i32, k0: i32, kStride: i32, count: i32,
): void {
  const start = from + (<usize>(k0 * kStride) << 2);
  const rowBytes = <usize>rowStride << 2;
  if (rowStride == 1) {
    packColumns(to, step, start + (<usize>i << 2), <usize>kStride << 2, count);
  } else {
    // Rows past the end stand for the last one.
    const p = start + <usize>i * rowBytes;
    const q = start + <usize>min(i + 1, rows - 1) * rowBytes;
    const r = start + <usize>min(i + 2, rows - 1) * rowBytes;
    const s = start + <usize>min(i + 3, rows - 1) * rowBytes;
    if (kStride == 1) packRows(to, step, p, q, r, s, count);
    else packScattered(to, step, p, q, r, s, <usize>kStride << 2, count);
  }
}

/** Rows i and i + 1, which exist, behind the four before them in a strip of six. */
export function packPair(to: usize, from: usize, i: i32, rowStride: i32, k0: i32, kStride: i32, count: i32): void {
  let p = from + (<usize>(k0 * kStride + i * rowStride) << 2);
  const rowBytes = <usize>rowStride << 2, kBytes = <usize>kStride << 2;
  for (let k = 0; k < count; k++) {
    store<u32>(to, load<u32>(p), 16);
    store<u32>(to, load<u32>(p + rowBytes), 20);
    to += TALL_STRIP_BYTES;
    p += kBytes;
  }
}

/** As packRows, of runs whose numbers are `stride` bytes apart. */
function packScattered(to: usize, step: usize, p: usize, q: usize, r: usize, s: usize, stride: usize, count: i32): void {
  for (let k = 0; k < count; k++) {
    store<u32>(to, load<u32>(p));
    store<u32>(to, load<u32>(q), 4);
    store<u32>(to, load<u32>(r), 8);
    store<u32>(to, load<u32>(s), 12);
    to += step;
    p += stride;
    q += stride;
    r += stride;
    s += stride;
  }
}
