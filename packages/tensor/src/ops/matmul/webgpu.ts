// Matrix products on WebGPU: by subgroup matrices where the device has them, in tiles on other GPUs, straight on software adapters.

import batches from "@pkg/kernels/products/batches.wgsl";
import blockLibrary from "@pkg/kernels/products/blocks.wgsl";
import directKernel from "@pkg/kernels/products/matmul_direct.wgsl";
import tiledKernel from "@pkg/kernels/products/matmul_tiled.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { collapse, type Layout, perAxis } from "../../shape.ts";
import { halved } from "./half.ts";
import { batchAxes, type Product, productOf, readsByStrides } from "./product.ts";
import { type MatrixProduct, matrixCalls } from "./subgroupMatrices.ts";
import { inShares, reader, type Tiling, tileConstants, tileCount, tileLibrary, tilingFor, writer } from "./tiles.ts";

const tiledLibrary = batches + tileLibrary;

export const matmulWebgpu: WebgpuRule<undefined> = { calls: (call) => matmulCalls(call), takes: readsByStrides };

/** The kernel calls of a matrix product; a tuner gives the tiling. */
export function matmulCalls(given: GpuCall<undefined>, tiling?: Tiling): KernelCall[] {
  const { rounding, call } = halved(given);
  const byMatrices = tiling ? null : matrixCalls(call, matrixProduct(call));
  return [...rounding, ...(byMatrices ?? productCalls(call, tiling))];
}

/** As a convolution of images of one row, which the kernel for subgroup matrices takes; null if the batches have several strides. */
function matrixProduct({ inputs, outputs: [out] }: GpuCall<undefined>): MatrixProduct | null {
  const [a, b, bias] = inputs;
  const product = productOf(inputs);
  const [x, y] = [matrixOf(a), matrixOf(b)];
  const [batch, ...batchSteps] = collapse([out, a, b, bias ?? out].map(batchAxes));
  if (batch.shape.length > 1) return null;
  const [aBatch, bBatch, biasBatch] = batchSteps.map(({ strides }) => strides[0] ?? 0);
  const size = [1, x.isTransposed ? product.k : product.m];
  return {
    product,
    a,
    aIsTransposed: x.isTransposed,
    aBatch,
    placing: {
      size,
      image_size: size,
      scale: [1, 1],
      shift: [0, 0],
      step: [0, 0],
      image_offset: a.offset,
      image_strides: [0, 0, x.step],
    },
    taps: [1, 1],
    tapsAreBatches: false,
    b,
    bIsTransposed: y.isTransposed,
    bStep: y.step,
    bTap: 0,
    bBatch,
    bias,
    biasStrides: [0, 0, bias ? rowStep(bias) : 0],
    biasBatch: bias ? biasBatch : 0,
  };
}

function productCalls(call: GpuCall<undefined>, given?: Tiling): KernelCall[] {
  const { inputs, outputs, target } = call;
  const product = productOf(inputs);
  const [[a, b, bias], [out]] = [inputs, outputs];
  const { constants, params } = describe([a, b, bias], out, product, target.half);
  const tiling =
    given ??
    tilingFor({ name: nameOf(a, b), text: tiledKernel + tiledLibrary }, product, target, (temporary, other) =>
      productCalls({ ...call, temporary }, other),
    );
  if (!tiling) {
    const blocks = product.batches * Math.ceil(product.m / 8) * Math.ceil(product.n / 4);
    return [
      {
        kernel: directKernel,
        library: batches + blockLibrary,
        constants: { ...constants, K_IS_RAGGED: product.k % 4 !== 0 },
        params,
        bindings: [a, b, bias ?? b, out],
        grid: { threads: blocks },
      },
    ];
  }
  return inShares(call, tiling, (into) => ({
    kernel: tiledKernel,
    library: tiledLibrary,
    constants: {
      ...constants,
      ...tileConstants(tiling.tile, target),
      K_IS_RAGGED: product.k % tiling.tile.tileK !== 0,
    },
    params: { ...params, ...(into === out ? {} : { out_offset: 0 }), shares: tiling.shares, share: tiling.share },
    bindings: [a, b, bias ?? b, into],
    grid: { workgroups: tileCount(product, tiling) },
  }));
}

/** The constants and parameters that both kernels declare. */
function describe(
  [a, b, bias]: readonly [View, View, View | undefined],
  out: View,
  { batches, m, n, k }: Product,
  isHalf = false,
): Pick<Required<KernelCall>, "constants" | "params"> {
  const [x, y] = [matrixOf(a), matrixOf(b)];
  const [batch, aBatch, bBatch, biasBatch] = collapse([out, a, b, bias ?? out].map(batchAxes));
  const biasStep = bias ? rowStep(bias) : 0;
  const isAligned = ({ offset }: View, step: number, { strides }: Layout) =>
    [offset, step, ...strides].every((n) => n % 4 === 0);
  const isBAligned = isAligned(b, y.step, bBatch);
  return {
    constants: {
      ...reader("A", "a4", "a", isAligned(a, x.step, aBatch), isHalf),
      ...reader("B", "b4", "b", isBAligned, isHalf),
      ...reader("Bias", "bias4", "bias", bias ? isAligned(bias, biasStep, biasBatch) : isBAligned),
      ...writer(n % 4 === 0 && out.offset % 4 === 0),
      A_IS_TRANSPOSED: x.isTransposed,
      B_IS_TRANSPOSED: y.isTransposed,
      BATCH_RANK: `${batch.shape.length}u`,
      HAS_BIAS: bias !== undefined,
    },
    params: {
      batches,
      m,
      n,
      k,
      a_offset: a.offset,
      a_step: x.step,
      b_offset: b.offset,
      b_step: y.step,
      bias_offset: bias?.offset ?? 0,
      bias_step: biasStep,
      out_offset: out.offset,
      batch_shape: perAxis(batch.shape),
      a_strides: perAxis(aBatch.strides),
      b_strides: perAxis(bBatch.strides),
      bias_strides: perAxis(biasBatch.strides),
    },
  };
}

/** How the last two axes lie in storage: which of them is contiguous, and the stride of the other. */
interface Matrix {
  readonly isTransposed: boolean;
  readonly step: number;
}

function matrixOf(layout: Layout): Matrix {
  const [rows, columns] = layout.shape.slice(-2);
  const [rowStride, columnStride] = layout.strides.slice(-2);
  const isTransposed = columnStride !== 1 && (rowStride === 1 || columns !== 1);
  const [size, step] = isTransposed ? [columns, columnStride] : [rows, rowStride];
  return { isTransposed, step: size > 1 ? step : 0 };
}

/** What is timed apart: "matmul", "matmul ab′", "matmul a′b", "matmul a′b′". */
function nameOf(a: View, b: View): string {
  const [x, y] = [a, b].map((view) => (matrixOf(view).isTransposed ? "′" : ""));
  return x || y ? `matmul a${x}b${y}` : "matmul";
}

/** From one row to the next. */
function rowStep({ shape, strides }: Layout): number {
  return shape[shape.length - 2] > 1 ? strides[strides.length - 2] : 0;
}
