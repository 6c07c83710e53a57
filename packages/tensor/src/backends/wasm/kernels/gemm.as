// The heart of all matrix products: c = Σ_k a[k] · b[k] over 4 × 8 tiles in registers, from packed panels (Goto and van de Geijn 2008).
//
// a is packed in strips of 4 rows, [k][4], by each thread for itself; b in panels of 8 columns, [k][8], once for all. Lanes past
// the last row or column hold whatever lay behind: they end in places that nobody reads.
import { fma, splat } from "./functions";
import { scratch } from "./memory";

/** Terms that are summed at a time: a panel of b of that length stays in the first cache. */
export const DEPTH: i32 = 256;
/** Rows of a that are packed at a time at most: 128 KiB. */
const MAX_ROWS: i32 = 128;
export const STRIP_BYTES: usize = 16;
export const PANEL_BYTES: usize = 32;

/** Where this thread packs a, and where it keeps a tile that is cut off by an edge. */
// @ts-ignore: decorator
@inline
export function strips(): usize {
  return scratch;
}

/** 128 bytes behind the strips; what follows them is the callers'. */
// @ts-ignore: decorator
@inline
function edgeTile(): usize {
  return scratch + <usize>(4 * MAX_ROWS * DEPTH);
}

// @ts-ignore: decorator
@inline
export function behindTiles(): usize {
  return edgeTile() + 128;
}

/** The rows of one strip times the columns of one panel, stored in or added to c, whose rows are `step` bytes apart. */
export function tile(k: i32, a: usize, b: usize, c: usize, step: usize, rows: i32, columns: i32, adds: bool): void {
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
  const isWhole = rows >= 4 && columns >= 8;
  let to = isWhole ? c : edgeTile();
  const stride = isWhole ? step : PANEL_BYTES;
  if (isWhole && adds) {
    v128.store(to, f32x4.add(v128.load(to), c00));
    v128.store(to, f32x4.add(v128.load(to, 16), c01), 16);
    to += stride;
    v128.store(to, f32x4.add(v128.load(to), c10));
    v128.store(to, f32x4.add(v128.load(to, 16), c11), 16);
    to += stride;
    v128.store(to, f32x4.add(v128.load(to), c20));
    v128.store(to, f32x4.add(v128.load(to, 16), c21), 16);
    to += stride;
    v128.store(to, f32x4.add(v128.load(to), c30));
    v128.store(to, f32x4.add(v128.load(to, 16), c31), 16);
    return;
  }
  v128.store(to, c00);
  v128.store(to, c01, 16);
  to += stride;
  v128.store(to, c10);
  v128.store(to, c11, 16);
  to += stride;
  v128.store(to, c20);
  v128.store(to, c21, 16);
  to += stride;
  v128.store(to, c30);
  v128.store(to, c31, 16);
  if (!isWhole) storeEdge(c, step, min(rows, 4), min(columns, 8), adds);
}

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
 * The packed strips of `rows` rows times panels [first, last) of b over k terms.
 * @param b the first of those terms in panel 0; panels are `panelStep` bytes apart
 * @param c row 0, column 0
 */
export function tiles(
  k: i32, b: usize, panelStep: usize, first: i32, last: i32, c: usize, step: usize, rows: i32, n: i32, adds: bool,
): void {
  for (let j = first; j < last; j++) {
    let a = strips();
    for (let i = 0; i < rows; i += 4) {
      const to = c + <usize>i * step + (<usize>j << 5);
      tile(k, a, b + <usize>j * panelStep, to, step, rows - i, n - (j << 3), adds);
      a += <usize>k * STRIP_BYTES;
    }
  }
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
