// Tilings of products (matmul, convolutions) on GPUs: the tiles, the choice among them, and split-K: sums of k in shares.

import blocks from "@pkg/kernels/products/blocks.wgsl";
import sumSharesKernel from "@pkg/kernels/products/sum_shares.wgsl";
import tiles from "@pkg/kernels/products/tiles.wgsl";
import type { Choice, GpuCall, GpuTarget, KernelCall } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import type { Product } from "./product.ts";

/** Sizes of the part of a product that a workgroup makes (tileM × tileN, tileK at a time) and that one thread makes of it. */
export interface Tile {
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  readonly threadM: 4 | 8;
  readonly threadN: 4 | 8;
}

/** The tile of a product and its split-K: the number of shares, and the tiles of k in each. */
export interface Tiling {
  readonly tile: Tile;
  readonly shares: number;
  readonly share: number;
}

/** Every tile, with the part of a GPU's peak that it is expected to reach, relative to the first. */
export const TILES: readonly (Tile & { readonly efficiency: number })[] = [
  { tileM: 128, tileN: 128, tileK: 16, threadM: 8, threadN: 8, efficiency: 1 },
  { tileM: 128, tileN: 64, tileK: 8, threadM: 8, threadN: 8, efficiency: 0.9 },
  { tileM: 64, tileN: 64, tileK: 8, threadM: 8, threadN: 8, efficiency: 0.8 },
  { tileM: 128, tileN: 32, tileK: 8, threadM: 8, threadN: 4, efficiency: 0.6 },
  { tileM: 64, tileN: 32, tileK: 8, threadM: 8, threadN: 4, efficiency: 0.55 },
  { tileM: 32, tileN: 32, tileK: 16, threadM: 4, threadN: 4, efficiency: 0.4 },
];

// The GPU that the choice is made for, an H100: WebGPU tells neither the number of processors nor their speed.
const PROCESSORS = 132;
const BUSY_THREADS = 256; // how many a processor needs to reach its speed
/** Products of one processor in the time that an element of a share takes to be written and read again. */
export const SHARE_COST = 50 / PROCESSORS;
/** And in that of one more dispatch. */
export const PASS_COST = 1e8 / PROCESSORS;
const MAX_SHARES = 64;
const SKEW_BYTES = 256; // of padding in both tiles
const MIN_SHARE = 256; // products an output of a share, at least

/** The tiling with the least expected time among those that fit the device; null for software adapters, and where none fits. */
export function chooseTiling(product: Product, target: GpuTarget): Tiling | null {
  return likelyTilings(product, target)[0]?.tiling ?? null;
}

/** The time of that tiling, in products that a processor makes at its full speed. */
export function expectedTime(product: Product, target: GpuTarget): number | null {
  return likelyTilings(product, target)[0]?.time ?? null;
}

/** WGSL that the tiled kernels share. */
export const tileLibrary = tiles + blocks;

/** A kernel that makes products in tiles, as a choice among them names it: by what it is timed for, and by its text. */
export interface TiledKernel {
  readonly name: string;
  readonly text: string;
}

/**
 * The tiling of one dispatch: found by timing on this device where there is one, else the one that is expected to be fast.
 * @param calls makes the kernel calls in another tiling, which is how it is timed
 */
export function tilingFor(
  { name, text }: TiledKernel,
  product: Product,
  target: GpuTarget,
  calls: (temporary: GpuCall<unknown>["temporary"], tiling: Tiling) => KernelCall[],
): Tiling | null {
  const likely = likelyTilings(product, target).map(({ tiling }) => tiling);
  if (likely.length === 0) return null;
  const timed = target.timed?.({
    ...tilingSearch(product, target, likely),
    name: classOf(target.half ? `half ${name}` : name, product),
    version: versionOf(text),
    encode: ({ tile, shares }) => [tile.tileM, tile.tileN, shares],
    decode([tileM, tileN, shares]) {
      const tile = TILES.find((one) => one.tileM === tileM && one.tileN === tileN);
      return tile && Number.isInteger(shares) && shares > 0 ? tilingIn(product, target, tile, shares) : null;
    },
    calls: (tiling, temporary) => calls(temporary, tiling),
  });
  return timed ?? likely[0];
}

/** Where to look for the fastest tiling: the likely ones, and from there twice as many shares, or half as many. */
export function tilingSearch(
  product: Product,
  target: GpuTarget,
  likely: readonly Tiling[],
): Pick<Choice<Tiling>, "likely" | "directions"> {
  const inShares = (factor: number) => (tiling: Tiling) => {
    const next = tilingIn(product, target, tiling.tile, Math.floor(tiling.shares * factor));
    return next && next.shares !== tiling.shares ? next : null;
  };
  return { likely, directions: [inShares(2), inShares(0.5)] };
}

/** Products that share a tiling. */
function classOf(kernel: string, { batches, m, n, k, runs }: Product): string {
  const [p, i, j, l] = [batches, m, n, k].map((size) => 2 ** Math.ceil(Math.log2(Math.max(1, size))));
  return `${kernel} ${p} × [${i}, ${l}] × [${l}, ${j}], ${runs} ${runs === 1 ? "run" : "runs"}`;
}

const versions = new Map<string, string>();

/** Of a kernel's text and the list of tiles: FNV-1a, 32 bits, in hexadecimal digits. */
function versionOf(kernel: string): string {
  let version = versions.get(kernel);
  if (version === undefined) {
    let hash = 0x811c9dc5;
    for (const letter of kernel + JSON.stringify(TILES)) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
    version = (hash >>> 0).toString(16);
    versions.set(kernel, version);
  }
  return version;
}

/** In each tile that fits the device the shares that are expected to be fastest; the fastest tile first. */
export function likelyTilings(
  product: Product,
  target: GpuTarget,
): readonly { readonly tiling: Tiling; readonly time: number }[] {
  if (target.profile !== "tiled") return [];
  const { batches, m, n } = product;
  const inEachTile = TILES.flatMap(({ efficiency, ...largest }) => {
    const tile = tileWithin(largest, product);
    if (buffersFor(tile, target) === 0) return [];
    const count = batches * Math.ceil(m / tile.tileM) * Math.ceil(n / tile.tileN);
    // One share, or as many as give every processor one workgroup, two, …
    const timed = [1, ...[1, 2, 3, 4].map((each) => Math.floor((each * PROCESSORS) / count))].map((wanted) => {
      const tiling = cut(product, tile, wanted);
      const each = Math.ceil((count * tiling.shares) / PROCESSORS);
      const speed = efficiency * Math.min(1, (each * threadsOf(tile)) / BUSY_THREADS);
      const joining = tiling.shares === 1 ? 0 : PASS_COST + SHARE_COST * tiling.shares * batches * m * n;
      return { tiling, time: (each * tile.tileM * tile.tileN * tiling.share * tile.tileK) / speed + joining };
    });
    return [timed.reduce((best, other) => (other.time < best.time ? other : best))];
  });
  return inEachTile.sort((a, b) => a.time - b.time);
}

/** A product in one of TILES, split into at most `wanted` shares; null if the device cannot hold the tile. */
function tilingIn(product: Product, target: GpuTarget, largest: Tile, wanted: number): Tiling | null {
  const tile = tileWithin(largest, product);
  return target.profile === "tiled" && buffersFor(tile, target) > 0 ? cut(product, tile, wanted) : null;
}

/** A tile that is no deeper than the product. */
function tileWithin({ tileM, tileN, tileK, threadM, threadN }: Tile, { k }: Product): Tile {
  return { tileM, tileN, tileK: Math.min(tileK, Math.max(4, 2 ** Math.ceil(Math.log2(k)))), threadM, threadN };
}

function cut({ k, runs }: Product, tile: Tile, wanted: number): Tiling {
  const tiles = runs * Math.ceil(k / tile.tileK);
  const most = Math.max(1, Math.min(MAX_SHARES, Math.floor((tiles * tile.tileK) / MIN_SHARE)));
  const share = Math.ceil(tiles / Math.min(Math.max(wanted, 1), most));
  return { tile, shares: share === 0 ? 1 : Math.ceil(tiles / share), share };
}

/** Values of the constants that every tiled kernel declares. */
export function tileConstants(tile: Tile, target: GpuTarget): Record<string, string> {
  const { tileM, tileN, tileK, threadM, threadN } = tile;
  return {
    TILE_M: `${tileM}u`,
    TILE_N: `${tileN}u`,
    TILE_K: `${tileK}u`,
    THREAD_M: `${threadM}u`,
    THREAD_N: `${threadN}u`,
    BUFFERS: `${buffersFor(tile, target)}u`,
  };
}

/** Workgroups of one call: a tile each, for each of the shares. */
export function tileCount({ batches, m, n }: Product, { tile, shares }: Tiling): number {
  return shares * batches * Math.ceil(m / tile.tileM) * Math.ceil(n / tile.tileN);
}

/** The calls of a product with split-K: one that writes `out`, or one that writes the shares and one that adds them in order. */
export function inShares(
  { outputs: [out], temporary }: Pick<GpuCall<unknown>, "outputs" | "temporary">,
  { shares }: Pick<Tiling, "shares">,
  call: (into: View | Temporary) => KernelCall,
): KernelCall[] {
  if (shares === 1) return [call(out)];
  const size = sizeOf(out.shape);
  const width = size % 4 === 0 && out.offset % 4 === 0 ? 4 : 1;
  const parts = temporary(shares * size);
  const sum = {
    kernel: sumSharesKernel,
    constants: { Vector: width === 4 ? "vec4<f32>" : "f32" },
    params: { size: size / width, count: shares, out_offset: out.offset / width },
    bindings: [parts, out],
    grid: { threads: size / width },
  };
  return [call(parts), sum];
}

/** How the kernels read four neighbouring elements of an input, float32 or halves: at once where every such four is aligned. */
export function reader(
  type: string,
  read: string,
  input: string,
  isAligned: boolean,
  isHalf = false,
): Record<string, string> {
  const lanes = ["i", "i + 1u", "i + 2u", "i + 3u"].map((i) =>
    isHalf ? `unpack2x16float(${input}[(${i}) / 2u])[(${i}) % 2u]` : `${input}[${i}]`,
  );
  if (!isAligned) return { [type]: isHalf ? "u32" : "f32", [read]: `return vec4<f32>(${lanes.join(", ")});` };
  const both = `return vec4<f32>(unpack2x16float(${input}[i / 4u].x), unpack2x16float(${input}[i / 4u].y));`;
  return isHalf ? { [type]: "vec2<u32>", [read]: both } : { [type]: "vec4<f32>", [read]: `return ${input}[i / 4u];` };
}

/** How the kernels write up to four neighbouring elements of the result. */
export function writer(isAligned: boolean): Record<string, string> {
  const rest = ["y", "z", "w"].map((lane, k) => `if (count > ${k + 1}u) { out[i + ${k + 1}u] = x.${lane}; }`);
  return isAligned
    ? { Out: "vec4<f32>", write: "out[i / 4u] = x;" }
    : { Out: "f32", write: `out[i] = x.x; ${rest.join(" ")}` };
}

/** How many buffers of a tile fit the workgroup memory: 2, 1, or 0 when the tile cannot be used. */
function buffersFor(tile: Tile, target: GpuTarget): 0 | 1 | 2 {
  const { tileM, tileN, tileK } = tile;
  const threads = threadsOf(tile);
  const bytes = 4 * tileK * (tileM + tileN) + SKEW_BYTES;
  const lookups = Math.max(16 * tileM, 8 * threads);
  if (threads > target.maxInvocations || bytes + lookups > target.workgroupMemory) return 0;
  return 2 * bytes + lookups > target.workgroupMemory ? 1 : 2;
}

function threadsOf({ tileM, tileN, threadM, threadN }: Tile): number {
  return (tileM / threadM) * (tileN / threadN);
}
