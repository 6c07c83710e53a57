// GEMM in WebAssembly: b packed into panels, then blocks of the result; split-K for few blocks of many terms.

import type { WasmCall, WasmOperands, WasmRule } from "../../backends/wasm/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { collapse, type Layout, perAxis, sizeOf } from "../../shape.ts";
import { elementwisePass } from "../elementwise/wasm.ts";
import { batchAxes, type Product, readsByStrides } from "./product.ts";

export type Matrices = Omit<Product, "runs">;

/** Blocks into which a product is cut for the threads: enough for any sensible number of them. */
const BLOCKS = 16;
const MAX_ROWS = 64;
/** Terms below which sharing them among blocks does not pay. */
const MIN_SHARE = 512;
const MANY_TERMS = 8192;
/** Multiplications that are worth waking a thread, and elements whose copying is. */
const MIN_WORK = 2 ** 19;
const MIN_COPY = 2 ** 14;
const SCALAR: Layout = { shape: [], strides: [], offset: 0 };

/** How a product is cut. */
export interface Blocking {
  readonly rows: number;
  readonly rowBlocks: number;
  readonly panels: number;
  readonly panelBlocks: number;
  /** Split-K: equal parts of the terms, whose sums are added afterwards. */
  readonly shares: number;
  readonly share: number;
  readonly blocks: number;
  /** Blocks that a thread takes at once. */
  readonly grain: number;
}

/** Cuts by rows, then by columns, then by terms, until there are blocks for many threads; by nothing but the shape. */
export function blocking({ batches, m, n, k }: Matrices, { mayShare = batches === 1 } = {}): Blocking {
  const allPanels = Math.ceil(n / 8);
  let rows = MAX_ROWS;
  // Sharing many terms spares b from being read once more for each block of rows.
  while (rows > 16 && k < MANY_TERMS && batches * Math.ceil(m / rows) < BLOCKS) rows /= 2;
  const rowBlocks = Math.ceil(m / rows);
  rows = 4 * Math.ceil(m / rowBlocks / 4);
  const panels = Math.max(4, Math.ceil(allPanels / Math.ceil(BLOCKS / (batches * rowBlocks))));
  const panelBlocks = Math.ceil(allPanels / panels);
  const wanted = Math.min(Math.floor(BLOCKS / (batches * rowBlocks * panelBlocks)), Math.floor(k / MIN_SHARE));
  const share = mayShare ? Math.ceil(k / Math.max(1, wanted)) : k;
  const shares = Math.ceil(k / share);
  const grain = Math.ceil(MIN_WORK / (rows * panels * 8 * share));
  return {
    rows,
    rowBlocks,
    panels,
    panelBlocks,
    shares,
    share,
    blocks: batches * shares * rowBlocks * panelBlocks,
    grain,
  };
}

/** From one row of a (column of b) to the next, and from one term to the next; terms may come in runs. */
export interface Strides {
  readonly row: number;
  readonly term: number;
  readonly run?: number;
  readonly runStride?: number;
}

/** Packs a matrix of [k, n] for the right side of products; `packedSize` elements. */
export function packing(
  packed: Temporary,
  b: View | Temporary,
  product: Matrices,
  strides: Strides,
  axes: Layout = SCALAR,
): WasmCall {
  const { batches, n, k } = product;
  return {
    kernel: "pack_b",
    rows: batches * Math.ceil(n / 8),
    grain: Math.ceil(MIN_COPY / (8 * k)),
    args: { packed, table: table(product, strides, axes, blocking(product)), b },
  };
}

/** Elements of a packed right side. */
export function packedSize({ batches, n, k }: Matrices): number {
  return batches * Math.ceil(n / 8) * 8 * k;
}

/** Adds up the shares of a result of `size` elements. */
export function addingUp(out: View | Temporary, shares: View | Temporary, size: number, count: number): WasmCall {
  return { kernel: "sum_shares", rows: size, grain: MIN_COPY, args: { out, shares, size, count } };
}

export const matmulWasm: WasmRule<undefined> = { calls, takes: readsByStrides };

function calls({ inputs, outputs: [out], temporary }: WasmOperands<undefined>): WasmCall[] | null {
  const [a, b, bias] = inputs;
  if (a.shape[a.shape.length - 1] === 0) return null;
  const product = productCalls(a, b, out, temporary);
  return bias ? [...product, elementwisePass([out, bias], out, "add")] : product;
}

/** out = a · b over the last two axes, of at least one term. */
export function productCalls(
  a: View,
  b: View,
  out: View | Temporary,
  temporary: WasmOperands<undefined>["temporary"],
): WasmCall[] {
  const [m, k] = a.shape.slice(-2);
  const n = b.shape[b.shape.length - 1];
  const product = { batches: sizeOf(a.shape.slice(0, -2)), m, n, k };
  const cut = blocking(product);
  const [aBatch, bBatch] = [a, b].map((view) => collapse([batchAxes(view)])[0]);
  const [aRow, aTerm] = a.strides.slice(-2);
  const [bTerm, bColumn] = b.strides.slice(-2);
  const packed = temporary(packedSize(product));
  const into = cut.shares > 1 ? temporary(cut.shares * m * n) : out;
  const calls = [
    packing(packed, b, product, { row: bColumn, term: bTerm }, bBatch),
    {
      kernel: "matmul",
      rows: cut.blocks,
      grain: cut.grain,
      args: { out: into, table: table(product, { row: aRow, term: aTerm }, aBatch, cut), a, packed },
    },
  ];
  return cut.shares > 1 ? [...calls, addingUp(out, into, m * n, cut.shares)] : calls;
}

function table(
  { m, n, k }: Pick<Matrices, "m" | "n" | "k">,
  { row, term, run = k, runStride = 0 }: Strides,
  { shape, strides }: Pick<Layout, "shape" | "strides">,
  cut: Blocking,
): number[] {
  const { rows, rowBlocks, panels, panelBlocks, shares, share } = cut;
  const product = [m, n, k, row, term, rows, rowBlocks, panels, panelBlocks, shares, share];
  return [...product, shape.length, ...perAxis(shape), ...perAxis(strides), run, runStride];
}
