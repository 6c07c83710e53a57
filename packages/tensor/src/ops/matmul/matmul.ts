// Matrix products over the last two axes, of transposed views too.

import directKernel from "@pkg/kernels/products/matmul_direct.wgsl";
import tiledKernel from "@pkg/kernels/products/matmul_tiled.wgsl";
import { defineOp, float32, type GpuCall, type KernelCall, type View } from "../../op.ts";
import { collapse, formatShape, type Layout, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import { perAxis } from "../dispatch.ts";
import { rowMajor } from "../rowMajor.ts";
import { halved } from "./half.ts";
import { type MatrixProduct, matrixCalls } from "./matrixCalls.ts";
import { inShares, type Product, reader, type Tiling, tileConstants, tileCount, tilingFor, writer } from "./tiles.ts";
import { matmulWasm } from "./wasm.ts";

/** out[…, i, j] = Σ_k a[…, i, k] · b[…, k, j] + bias[…, i, j], if there is one; Tensor.matmul stretches what has to be equal. */
export const matmul = defineOp({
  name: "matmul",
  infer([a, b, ...bias]) {
    const [m, k] = a.shape.slice(-2);
    const [inner, n] = b.shape.slice(-2);
    const batch = a.shape.slice(0, -2);
    if (a.shape.length < 2 || k !== inner || !sameShape(batch, b.shape.slice(0, -2))) {
      const wanted = a.shape.length > 2 || b.shape.length > 2 ? "[..., m, k] × [..., k, n]" : "[m, k] × [k, n]";
      throw new ShapeError(`matmul: ${formatShape(a.shape)} × ${formatShape(b.shape)}, want ${wanted}`);
    }
    const shape = [...batch, m, n];
    for (const { shape: given } of bias) {
      if (!sameShape(given, shape)) {
        throw new ShapeError(`matmul: bias ${formatShape(given)}, want ${formatShape(shape)}`);
      }
    }
    return [float32(shape)];
  },
  cpu([out], [a, b, bias]) {
    const { batches, m, n, k } = productOf([a, b]);
    const [x, y, start] = [rowMajor(a), rowMajor(b), bias && rowMajor(bias)];
    const row = new Float64Array(n);
    for (let i = 0; i < batches * m; i++) {
      const panel = Math.floor(i / m) * k * n;
      if (start) row.set(start.subarray(i * n, (i + 1) * n));
      else row.fill(0);
      for (let l = 0; l < k; l++) {
        const factor = x[i * k + l];
        const at = panel + l * n;
        for (let j = 0; j < n; j++) row[j] += factor * y[at + j];
      }
      out.data.set(row, out.offset + i * n);
    }
  },
  gpu: matmulCalls,
  wasm: matmulWasm,
  strided: (layout, index) => (index < 2 ? hasContiguousAxis(layout) : hasContiguousRows(layout)),
  vjp: ([g], [a, b], _, __, needed) => [
    needed[0] ? g.matmul(b.transpose()) : null,
    needed[1] ? a.transpose().matmul(g) : null,
    ...needed.slice(2).map(() => g),
  ],
  saves: { inputs: [0, 1] },
  cases: [
    {
      inputs: [
        [3, 7],
        [7, 1],
      ],
    },
    {
      inputs: [
        [1, 5],
        [5, 33],
      ],
    },
    {
      inputs: [
        [31, 33],
        [33, 32],
      ],
    },
    {
      inputs: [
        [64, 36],
        [36, 4],
      ],
    },
    {
      inputs: [
        [5, 36],
        [36, 8],
        [5, 8],
      ],
    },
    {
      inputs: [
        [2, 3, 4],
        [2, 4, 7],
        [2, 3, 7],
      ],
    },
    {
      inputs: [
        [3, 0],
        [0, 2],
        [3, 2],
      ],
    },
    {
      inputs: [
        [2, 3, 5, 4],
        [2, 3, 4, 6],
      ],
    },
    {
      inputs: [
        [3, 0],
        [0, 2],
      ],
    },
    {
      inputs: [
        [0, 3],
        [3, 2],
      ],
    },
  ],
  errors: [
    {
      inputs: [
        [2, 3],
        [4, 5],
      ],
      error: "matmul: [2, 3] × [4, 5], want [m, k] × [k, n]",
    },
    {
      inputs: [
        [2, 3, 4],
        [3, 4, 5],
      ],
      error: "matmul: [2, 3, 4] × [3, 4, 5], want [..., m, k] × [..., k, n]",
    },
    {
      inputs: [[2, 3], [3, 4], [4]],
      error: "matmul: bias [4], want [2, 4]",
    },
  ],
  tolerance: { terms: ([a]) => a[a.length - 1], relL2: 2e-6 },
});

/** The kernel calls of a matrix product; a tuner gives the tiling. */
export function matmulCalls(given: GpuCall<undefined>, tiling?: Tiling): KernelCall[] {
  const { rounding, call } = halved(given);
  const byMatrices = tiling ? null : matrixCalls(call, matrixProduct(call));
  return [...rounding, ...(byMatrices ?? productCalls(call, tiling))];
}

/** As a convolution of images of one row: what the kernel for matrix units takes; null where several strides lead to the products. */
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
    tilingFor(nameOf(a, b), product, target, (temporary, other) => productCalls({ ...call, temporary }, other));
  if (!tiling) {
    const blocks = product.batches * Math.ceil(product.m / 8) * Math.ceil(product.n / 4);
    return [
      {
        kernel: directKernel,
        constants: { ...constants, K_IS_RAGGED: product.k % 4 !== 0 },
        params,
        bindings: [a, b, bias ?? b, out],
        grid: { threads: blocks },
      },
    ];
  }
  return inShares(call, tiling, (into) => ({
    kernel: tiledKernel,
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

function hasContiguousAxis({ shape, strides }: Layout): boolean {
  return strides.slice(-2).includes(1) || shape.slice(-2).includes(1);
}

/** From one row to the next. */
function rowStep({ shape, strides }: Layout): number {
  return shape[shape.length - 2] > 1 ? strides[strides.length - 2] : 0;
}

function hasContiguousRows({ shape, strides }: Layout): boolean {
  return strides[strides.length - 1] === 1 || shape[shape.length - 1] === 1;
}

function batchAxes({ shape, strides }: Layout): Layout {
  return { shape: shape.slice(0, -2), strides: strides.slice(0, -2), offset: 0 };
}

function productOf([a, b]: readonly Layout[]): Product {
  const [m, k] = a.shape.slice(-2);
  return { batches: sizeOf(a.shape.slice(0, -2)), m, n: b.shape[b.shape.length - 1], k, runs: 1 };
}
