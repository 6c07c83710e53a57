// Products by subgroup matrices, from operands in float16: matmul and the convolutions share them.

import placingLibrary from "@pkg/kernels/convolution/placing.wgsl";
import matrixKernel from "@pkg/kernels/products/products_matrix.wgsl";
import type { GpuCall, GpuTarget, KernelCall } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import type { Product } from "./product.ts";
import { inShares, writer } from "./tiles.ts";

/** A product [m, k] × [k, n], and how the kernel finds its operands. */
export interface MatrixProduct {
  readonly product: Product;
  /** Float16, in runs of contiguous elements along k, or along i where it is transposed. Each run is a pixel of an image. */
  readonly a: View;
  readonly aIsTransposed: boolean;
  readonly aBatch: number;
  /** Where the pixels lie: see convGather's `placing`. */
  readonly placing: Required<KernelCall>["params"];
  readonly taps: readonly [number, number];
  /** Whether each tap is a product of its own; otherwise the products of all are added up. */
  readonly tapsAreBatches: boolean;
  /** Float16, in runs along j, or along k where it is transposed. */
  readonly b: View;
  readonly bIsTransposed: boolean;
  readonly bStep: number;
  readonly bTap: number;
  readonly bBatch: number;
  readonly bias: View | undefined;
  readonly biasStrides: readonly number[];
  readonly biasBatch: number;
}

interface MatrixTile {
  readonly tileM: number;
  readonly tileN: number;
  readonly tileK: number;
  readonly gridM: number;
  readonly gridN: number;
}

// Of the first, 64 terms at a time took 0.92 of the time of 32 on an H200 (matmul 4096³, convolutions of 128 and 256 channels).
const TILES: readonly MatrixTile[] = [
  { tileM: 128, tileN: 128, tileK: 64, gridM: 2, gridN: 4 },
  { tileM: 64, tileN: 64, tileK: 32, gridM: 2, gridN: 2 },
];
const SKEW = 8;
// As many workgroups as fill an H200 twice, and terms that are worth a share of their own.
const WORKGROUPS = 264;
const MIN_SHARE = 1024;
const MAX_SHARES = 32;

/** The calls of a product; null if the target has no subgroup matrices, or they do not fit its tiles. */
export function matrixCalls(
  call: Pick<GpuCall<unknown>, "outputs" | "target" | "temporary">,
  description: MatrixProduct | null,
): KernelCall[] | null {
  const { matrix } = call.target;
  if (!matrix || !description) return null;
  const { product, a, b, bias, aIsTransposed, bIsTransposed, placing, biasStrides } = description;
  const { batches, m, n, k, runs } = product;
  const countOf = ({ tileM, tileN }: MatrixTile) => batches * Math.ceil(m / tileM) * Math.ceil(n / tileN);
  const fitting = TILES.filter((tile) => fits(tile, call.target));
  const tile = fitting.find((one) => countOf(one) >= WORKGROUPS) ?? fitting.at(-1);
  if (!tile) return null;
  const wanted = Math.floor(Math.min(WORKGROUPS / countOf(tile), (runs * k) / MIN_SHARE, MAX_SHARES));
  const shares = Math.max(1, wanted);
  const isAligned = (...numbers: readonly number[]) => numbers.every((number) => number % 4 === 0);
  const { image_offset, image_strides } = placing;
  const aAligned = isAligned(...[image_offset, image_strides].flat(), description.aBatch);
  const bAligned = isAligned(b.offset, description.bStep, description.bTap, description.bBatch);
  const biasAligned = isAligned(bias?.offset ?? 0, ...biasStrides, description.biasBatch);
  const constants = {
    ...halfReader("A", "a4", "a", aAligned),
    ...halfReader("B", "b4", "b", bAligned),
    ...(biasAligned
      ? {}
      : { Bias: "f32", bias4: "return vec4<f32>(bias[i], bias[i + 1u], bias[i + 2u], bias[i + 3u]);" }),
    ...writer(n % 4 === 0),
    A_IS_TRANSPOSED: aIsTransposed,
    B_IS_TRANSPOSED: bIsTransposed,
    TAPS_ARE_BATCHES: description.tapsAreBatches,
    HAS_BIAS: bias !== undefined,
    M: `${matrix.m}u`,
    N: `${matrix.n}u`,
    K: `${matrix.k}u`,
    TILE_M: `${tile.tileM}u`,
    TILE_N: `${tile.tileN}u`,
    TILE_K: `${tile.tileK}u`,
    GRID_M: `${tile.gridM}u`,
    GRID_N: `${tile.gridN}u`,
    SUBGROUP: `${matrix.subgroup}u`,
    ...unrolled(tile, matrix),
    load_left: `return subgroupMatrixLoad<Left, ${aIsTransposed ? "col" : "row"}_major>(&a_tile, at, A_STEP);`,
    load_right: `return subgroupMatrixLoad<Right, ${bIsTransposed ? "col" : "row"}_major>(&b_tile, at, B_STEP);`,
  };
  const params = {
    ...placing,
    batches,
    m,
    n,
    k,
    shares,
    taps: description.taps,
    a_batch: description.aBatch,
    b_offset: b.offset,
    b_step: description.bStep,
    b_tap: description.bTap,
    b_batch: description.bBatch,
    bias_offset: bias?.offset ?? 0,
    bias_strides: biasStrides,
    bias_batch: description.biasBatch,
  };
  return inShares(call, { shares }, (into) => ({
    kernel: matrixKernel,
    library: placingLibrary,
    constants,
    params,
    bindings: [a, b, bias ?? b, into],
    grid: { workgroups: shares * countOf(tile) },
  }));
}

/** What a subgroup does with its matrices, one by one. */
function unrolled(
  { tileM, tileN, gridM, gridN }: MatrixTile,
  { m, n }: NonNullable<GpuTarget["matrix"]>,
): Record<string, string> {
  const [rows, columns] = [tileM / gridM / m, tileN / gridN / n].map((count) => [...Array(count).keys()]);
  const sum = (r: number, c: number) => `(*sums)[${r * columns.length + c}]`;
  const rights = columns.map((c) => `let y${c} = right(k, corner.y, ${c}u);`);
  const products = rows.flatMap((r) => [
    `let x${r} = left(k, corner.x, ${r}u);`,
    ...columns.map((c) => `${sum(r, c)} = multiply(x${r}, y${c}, ${sum(r, c)});`),
  ]);
  const writes = rows.flatMap((r) => columns.map((c) => `write_sum(${sum(r, c)}, at, ${r}u, ${c}u);`));
  return { accumulate: [...rights, ...products].join(" "), write_sums: writes.join(" ") };
}

function halfReader(type: string, read: string, input: string, isAligned: boolean): Record<string, string> {
  const lanes = ["i", "i + 1u", "i + 2u", "i + 3u"].map((i) => `${input}[${i}]`);
  return isAligned ? {} : { [type]: "Half", [read]: `return vec4<Half>(${lanes.join(", ")});` };
}

/** Whether the kernel's memory and threads are to be had, and whole matrices make the tile. */
function fits(
  { tileM, tileN, tileK, gridM, gridN }: MatrixTile,
  { matrix, workgroupMemory, maxInvocations }: GpuTarget,
): boolean {
  if (!matrix) return false;
  const { m, n, k, subgroup } = matrix;
  const halves =
    Math.max(tileM * (tileK + SKEW), tileK * (tileM + SKEW)) + Math.max(tileN * (tileK + SKEW), tileK * (tileN + SKEW));
  const bytes = 2 * halves + 4 * gridM * gridN * m * n + 16 * tileM;
  const divides = tileM % (gridM * m) === 0 && tileN % (gridN * n) === 0 && tileK % k === 0;
  return divides && bytes <= workgroupMemory && gridM * gridN * subgroup <= maxInvocations;
}
