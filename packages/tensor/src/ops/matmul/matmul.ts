// Matrix products over the last two axes, of transposed views too.

import { defineOp, float32 } from "../../op.ts";
import { formatShape, ShapeError, sameShape } from "../../shape.ts";
import { rowMajor } from "../reference.ts";
import { productOf } from "./product.ts";
import { matmulWasm } from "./wasm.ts";
import { matmulWebgpu } from "./webgpu.ts";

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
  strided: true,
  webgpu: matmulWebgpu,
  wasm: matmulWasm,
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
