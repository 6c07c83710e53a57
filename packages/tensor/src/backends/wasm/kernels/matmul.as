// out[…, i, j] = Σ_k a[…, i, k] · b[…, k, j] for matrices of any strides.
import {
  DEPTH, packPair, packStrip, PANEL_BYTES, STRIP_BYTES, strips, TALL_STRIP_BYTES, tallRows, tiles,
} from "./gemm";

// The table of a product. Batches are walked through their own shape and strides, at most 8 axes.
const M: i32 = 0;
const N: i32 = 1;
const K: i32 = 2;
const ROW_STRIDE: i32 = 3; // of a; pack_b: of b's columns
const K_STRIDE: i32 = 4;
const ROWS: i32 = 5; // in a block
const ROW_BLOCKS: i32 = 6;
const PANELS: i32 = 7; // in a block
const PANEL_BLOCKS: i32 = 8;
const SHARES: i32 = 9; // of the terms; each fills an output of its own
const SHARE: i32 = 10; // terms in each
const BATCH_RANK: i32 = 11;
const BATCH_SHAPE: i32 = 12;
const BATCH_STRIDES: i32 = 20;
const RUN: i32 = 28; // pack_b: terms that lie `K_STRIDE` apart; the next run starts `RUN_STRIDE` after the last
const RUN_STRIDE: i32 = 29;

// @ts-ignore: decorator
@inline
export function at(table: usize, index: i32): i32 {
  return load<i32>(table + (<usize>index << 2));
}

/** The offset of a batch, in elements. */
function batchOffset(table: usize, batch: i32): i32 {
  let offset = 0;
  for (let axis = at(table, BATCH_RANK) - 1; axis >= 0; axis--) {
    const size = at(table, BATCH_SHAPE + axis);
    const next = batch / size;
    offset += (batch - next * size) * at(table, BATCH_STRIDES + axis);
    batch = next;
  }
  return offset;
}

/** Panels [begin, end) of all batches of b: packed[batch][panel][k][8]. */
export function pack_b(begin: i32, end: i32, packed: usize, table: usize, b: usize): void {
  const n = at(table, N), k = at(table, K);
  const columnStride = at(table, ROW_STRIDE), kStride = at(table, K_STRIDE);
  const run = at(table, RUN), runBytes = <usize>at(table, RUN_STRIDE) << 2;
  const panels = (n + 7) >> 3;
  for (let index = begin; index < end; index++) {
    const batch = index / panels;
    const j = (index - batch * panels) << 3;
    let from = b + (<usize>batchOffset(table, batch) << 2);
    let to = packed + <usize>index * <usize>k * PANEL_BYTES;
    for (let done = 0; done < k; done += run) {
      packStrip(to, PANEL_BYTES, from, j, n, columnStride, 0, kStride, run);
      if (j + 4 < n) packStrip(to + 16, PANEL_BYTES, from, j + 4, n, columnStride, 0, kStride, run);
      from += runBytes;
      to += <usize>run * PANEL_BYTES;
    }
  }
}

/** Blocks [begin, end), of shares, batches, rows and columns, the last innermost. */
export function matmul(begin: i32, end: i32, out: usize, table: usize, a: usize, packed: usize): void {
  const m = at(table, M), n = at(table, N), k = at(table, K);
  const rowStride = at(table, ROW_STRIDE), kStride = at(table, K_STRIDE);
  const blockRows = at(table, ROWS), rowBlocks = at(table, ROW_BLOCKS);
  const blockPanels = at(table, PANELS), panelBlocks = at(table, PANEL_BLOCKS);
  const shares = at(table, SHARES), share = at(table, SHARE);
  const panels = (n + 7) >> 3;
  const step = <usize>n << 2;
  for (let index = begin; index < end; index++) {
    let rest = index / panelBlocks;
    const first = (index - rest * panelBlocks) * blockPanels;
    const last = min(first + blockPanels, panels);
    const above = rest / rowBlocks;
    const row = (rest - above * rowBlocks) * blockRows;
    const batch = above / shares;
    const part = above - batch * shares;
    const rows = min(blockRows, m - row);
    const tall = tallRows(rows);
    const from = a + (<usize>batchOffset(table, batch) << 2);
    const to = out + <usize>above * <usize>m * step + <usize>row * step;
    const b = packed + <usize>batch * <usize>panels * <usize>k * PANEL_BYTES;
    const stop = min(k, (part + 1) * share);
    for (let k0 = part * share; k0 < stop; k0 += DEPTH) {
      const count = min(DEPTH, stop - k0);
      let strip = strips();
      for (let i = 0; i < tall; i += 6) {
        packStrip(strip, TALL_STRIP_BYTES, from, row + i, m, rowStride, k0, kStride, count);
        packPair(strip, from, row + i + 4, rowStride, k0, kStride, count);
        strip += <usize>count * TALL_STRIP_BYTES;
      }
      for (let i = tall; i < rows; i += 4) {
        packStrip(strip, STRIP_BYTES, from, row + i, m, rowStride, k0, kStride, count);
        strip += <usize>count * STRIP_BYTES;
      }
      const panelStep = <usize>k * PANEL_BYTES;
      tiles(count, b + <usize>k0 * PANEL_BYTES, panelStep, first, last, to, step, rows, n, k0 > part * share, tall);
    }
  }
}

/** out[i] = Σ_s shares[s · size + i] for i in [begin, end), in the order of s. */
export function sum_shares(begin: i32, end: i32, out: usize, shares: usize, size: i32, count: i32): void {
  const step = <usize>size << 2;
  let i = begin;
  for (; i + 4 <= end; i += 4) {
    let from = shares + (<usize>i << 2);
    let sum = v128.load(from);
    for (let s = 1; s < count; s++) {
      from += step;
      sum = f32x4.add(sum, v128.load(from));
    }
    v128.store(out + (<usize>i << 2), sum);
  }
  for (; i < end; i++) {
    let from = shares + (<usize>i << 2);
    let sum = load<f32>(from);
    for (let s = 1; s < count; s++) {
      from += step;
      sum += load<f32>(from);
    }
    store<f32>(out + (<usize>i << 2), sum);
  }
}
