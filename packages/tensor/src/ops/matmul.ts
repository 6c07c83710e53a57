// Matrix products over the last two axes, of transposed views too.

import directKernel from "@pkg/kernels/matmul_direct.wgsl";
import tiledKernel from "@pkg/kernels/matmul_tiled.wgsl";
import { defineOp, float32, type GpuCall, type KernelCall, type View } from "../op.ts";
import { collapse, formatShape, type Layout, type Shape, ShapeError, sameShape, sizeOf } from "../shape.ts";
import { linearGrid, perAxis } from "./dispatch.ts";
import { rowMajor } from "./rowMajor.ts";
import { chooseTiling, inShares, type Product, reader, type Tiling, tileConstants, tileGrid, writer } from "./tiles.ts";

const WORKGROUP = 64;

/** out[…, i, j] = Σ_k a[…, i, k] · b[…, k, j]; Tensor.matmul stretches the leading axes to be equal. */
export const matmul = defineOp({
  name: "matmul",
  infer([a, b]) {
    const [m, k] = a.shape.slice(-2);
    const [inner, n] = b.shape.slice(-2);
    const batch = a.shape.slice(0, -2);
    if (a.shape.length < 2 || k !== inner || !sameShape(batch, b.shape.slice(0, -2))) {
      const wanted = a.shape.length > 2 || b.shape.length > 2 ? "[..., m, k] × [..., k, n]" : "[m, k] × [k, n]";
      throw new ShapeError(`matmul: ${formatShape(a.shape)} × ${formatShape(b.shape)}, want ${wanted}`);
    }
    if (a.dtype !== "float32" || b.dtype !== "float32") {
      throw new Error(`matmul: types ${a.dtype} and ${b.dtype}, want float32`);
    }
    return [float32([...batch, m, n])];
  },
  cpu([out], [a, b]) {
    const { batches, m, n, k } = productOf(a.shape, b.shape);
    const [x, y] = [rowMajor(a), rowMajor(b)];
    const row = new Float64Array(n);
    for (let i = 0; i < batches * m; i++) {
      const panel = Math.floor(i / m) * k * n;
      row.fill(0);
      for (let l = 0; l < k; l++) {
        const factor = x[i * k + l];
        const at = panel + l * n;
        for (let j = 0; j < n; j++) row[j] += factor * y[at + j];
      }
      out.data.set(row, out.offset + i * n);
    }
  },
  gpu(call) {
    const { inputs, target } = call;
    const tiling = target.profile === "tiled" ? chooseTiling(productOf(inputs[0].shape, inputs[1].shape), target) : null;
    return tiling ? matmulTiled(call, tiling) : matmulDirect(call);
  },
  strided: hasContiguousAxis,
  vjp: ([g], [a, b]) => [g.matmul(b.transpose()), a.transpose().matmul(g)],
  saves: { inputs: [0, 1] },
  cases: [
    ...[
      [1, 1, 1],
      [3, 7, 1],
      [1, 5, 33],
      [31, 33, 32],
      [33, 2, 65],
      [64, 36, 4],
    ].map(([m, k, n]) => ({ inputs: [[m, k] as const, [k, n] as const] })),
    { inputs: [[2, 3, 5, 4], [2, 3, 4, 6]] },
    { inputs: [[3, 0], [0, 2]] },
    { inputs: [[0, 3], [3, 2]] },
  ],
  errors: [
    { inputs: [[2, 3], [4, 5]], error: "matmul: [2, 3] × [4, 5], want [m, k] × [k, n]" },
    { inputs: [[2, 3, 4], [3, 4, 5]], error: "matmul: [2, 3, 4] × [3, 4, 5], want [..., m, k] × [..., k, n]" },
  ],
  tolerance: { terms: ([a]) => a[a.length - 1], relL2: 2e-6 },
});

/** The product in given tiles: what `matmul` runs on GPUs once it has chosen, and what a tuner compares. */
export function matmulTiled(call: GpuCall<undefined>, tiling: Tiling): KernelCall[] {
  const { inputs, outputs, target } = call;
  const product = productOf(inputs[0].shape, inputs[1].shape);
  const { constants, params } = describe(inputs, outputs[0], product);
  return inShares(call, tiling, (into) => ({
    kernel: tiledKernel,
    constants: { ...constants, ...tileConstants(tiling.tile, target), K_IS_RAGGED: product.k % tiling.tile.tileK !== 0 },
    params: { ...params, shares: tiling.shares, share: tiling.share },
    bindings: [...inputs, into],
    workgroups: tileGrid(product, tiling),
  }));
}

function matmulDirect({ inputs, outputs: [out] }: GpuCall<undefined>): KernelCall[] {
  const product = productOf(inputs[0].shape, inputs[1].shape);
  const { batches, m, n } = product;
  return [
    {
      kernel: directKernel,
      ...describe(inputs, out, product),
      bindings: [...inputs, out],
      workgroups: linearGrid(batches * Math.ceil(m / 4) * Math.ceil(n / 4), WORKGROUP),
    },
  ];
}

/** The constants and parameters that both kernels declare. */
function describe([a, b]: readonly View[], out: View, { batches, m, n, k }: Product): Pick<Required<KernelCall>, "constants" | "params"> {
  const [x, y] = [matrixOf(a), matrixOf(b)];
  const [batch, aBatch, bBatch] = collapse([out, a, b].map(batchAxes));
  const isAligned = ({ offset }: View, { step }: Matrix, { strides }: Layout) => [offset, step, ...strides].every((n) => n % 4 === 0);
  return {
    constants: {
      ...reader("A", "a4", "a", isAligned(a, x, aBatch)),
      ...reader("B", "b4", "b", isAligned(b, y, bBatch)),
      ...writer(n % 4 === 0),
      A_IS_TRANSPOSED: x.isTransposed,
      B_IS_TRANSPOSED: y.isTransposed,
      BATCH_RANK: `${batch.shape.length}u`,
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
      batch_shape: perAxis(batch.shape),
      a_strides: perAxis(aBatch.strides),
      b_strides: perAxis(bBatch.strides),
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

function hasContiguousAxis({ shape, strides }: Layout): boolean {
  return strides.slice(-2).includes(1) || shape.slice(-2).includes(1);
}

function batchAxes({ shape, strides }: Layout): Layout {
  return { shape: shape.slice(0, -2), strides: strides.slice(0, -2), offset: 0 };
}

function productOf(a: Shape, b: Shape): Product {
  return { batches: sizeOf(a.slice(0, -2)), m: a[a.length - 2], n: b[b.length - 1], k: a[a.length - 1], runs: 1 };
}
