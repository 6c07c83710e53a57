// Matrix products over the last two axes, of transposed views too.

import directKernel from "@pkg/kernels/matmul_direct.wgsl";
import tiledKernel from "@pkg/kernels/matmul_tiled.wgsl";
import { defineOp, float32, type GpuCall, type KernelCall, type View } from "../op.ts";
import { collapse, formatShape, type Layout, ShapeError, sameShape, sizeOf } from "../shape.ts";
import { linearGrid, perAxis } from "./dispatch.ts";
import { matmulWasm } from "./matmulWasm.ts";
import { rowMajor } from "./rowMajor.ts";
import { chooseTiling, inShares, type Product, reader, tileConstants, tileGrid, writer } from "./tiles.ts";

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
    const { batches, m, n, k } = productOf([a, b]);
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
  gpu: matmulCalls,
  wasm: matmulWasm,
  strided: hasContiguousAxis,
  vjp: ([g], [a, b], _, __, needed) => [
    needed[0] ? g.matmul(b.transpose()) : null,
    needed[1] ? a.transpose().matmul(g) : null,
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
  ],
  tolerance: { terms: ([a]) => a[a.length - 1], relL2: 2e-6 },
});

/** The kernel calls of a matrix product; a tuner gives the tiling. */
export function matmulCalls(
  call: GpuCall<undefined>,
  tiling = chooseTiling(productOf(call.inputs), call.target),
): KernelCall[] {
  const { inputs, outputs, target } = call;
  const product = productOf(inputs);
  const { constants, params } = describe(inputs, outputs[0], product);
  if (!tiling) {
    const blocks = product.batches * Math.ceil(product.m / 4) * Math.ceil(product.n / 4);
    const workgroups = linearGrid(blocks, WORKGROUP);
    return [{ kernel: directKernel, constants, params, bindings: [...inputs, outputs[0]], workgroups }];
  }
  return inShares(call, tiling, (into) => ({
    kernel: tiledKernel,
    constants: {
      ...constants,
      ...tileConstants(tiling.tile, target),
      K_IS_RAGGED: product.k % tiling.tile.tileK !== 0,
    },
    params: { ...params, shares: tiling.shares, share: tiling.share },
    bindings: [...inputs, into],
    workgroups: tileGrid(product, tiling),
  }));
}

/** The constants and parameters that both kernels declare. */
function describe(
  [a, b]: readonly View[],
  out: View,
  { batches, m, n, k }: Product,
): Pick<Required<KernelCall>, "constants" | "params"> {
  const [x, y] = [matrixOf(a), matrixOf(b)];
  const [batch, aBatch, bBatch] = collapse([out, a, b].map(batchAxes));
  const isAligned = ({ offset }: View, { step }: Matrix, { strides }: Layout) =>
    [offset, step, ...strides].every((n) => n % 4 === 0);
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

function productOf([a, b]: readonly Layout[]): Product {
  const [m, k] = a.shape.slice(-2);
  return { batches: sizeOf(a.shape.slice(0, -2)), m, n: b.shape[b.shape.length - 1], k, runs: 1 };
}
