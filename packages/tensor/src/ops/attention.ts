// Scaled dot-product attention and its gradient: fused forward and backward; the second order is composed.

import directKernel from "@pkg/kernels/attention_direct.wgsl";
import directGradKernel from "@pkg/kernels/attention_grad_direct.wgsl";
import tiledGradKernel from "@pkg/kernels/attention_grad_tiled.wgsl";
import tiledKernel from "@pkg/kernels/attention_tiled.wgsl";
import {
  defineOp,
  float32,
  type GpuCall,
  type GpuTarget,
  type KernelCall,
  type Op,
  type Temporary,
  type View,
} from "../op.ts";
import {
  collapse,
  formatShape,
  isContiguous,
  type Layout,
  type Shape,
  ShapeError,
  type Spec,
  sameShape,
  sizeOf,
} from "../shape.ts";
import { attentionGradWasm, attentionWasm } from "./attentionWasm.ts";
import { linearGrid } from "./dispatch.ts";
import { elementReader } from "./elementwise.ts";

export interface AttentionAttrs {
  /** What q · k is multiplied with. */
  readonly scale: number;
}

const WORKGROUP = 64;
const DOWN = 8;
const MAX_QUADS = 4; // more would not fit into registers

/**
 * Inputs q [..., queries, depth], k [..., keys, depth], v [..., keys, width] with equal leading axes. Outputs
 * o = softmax(scale · q kᵀ) v [..., queries, width] and the logarithms of the softmax's denominators [..., queries].
 */
export const attention: Op<AttentionAttrs> = defineOp<AttentionAttrs>({
  name: "attention",
  infer([q, k, v]) {
    const queries = checkAttention("attention", q, k, v);
    return [float32([...queries, v.shape[v.shape.length - 1]]), float32(queries)];
  },
  cpu([o, lse], [q, k, v], { scale }) {
    const { samples, queries, keys, depth, width } = extents(q.shape, v.shape);
    const [readQ, readK, readV] = [q, k, v].map(elementReader);
    for (let row = 0; row < samples * queries; row++) {
      const firstKey = Math.floor(row / queries) * keys;
      const scores = Array.from({ length: keys }, (_, j) => scale * dot(readQ, row, readK, firstKey + j, depth));
      const peak = Math.max(...scores);
      const total = scores.reduce((sum, s) => sum + Math.exp(s - peak), 0);
      lse.data[lse.offset + row] = peak + Math.log(total);
      for (let c = 0; c < width; c++) {
        let sum = 0;
        for (const [j, s] of scores.entries()) sum += (Math.exp(s - peak) / total) * readV((firstKey + j) * width + c);
        o.data[o.offset + row * width + c] = sum;
      }
    }
  },
  gpu({ inputs, outputs, attrs: { scale }, target }) {
    const { samples, queries, keys, depth, width } = extents(inputs[0].shape, inputs[2].shape);
    const tile = tileFor(target, inputs, width, samples * queries, 1);
    const { offsets, row_strides, batch, strides } = addresses(inputs, tile ? 4 : 1);
    const [q_strides, k_strides, v_strides] = strides;
    const layout = { offsets, row_strides, batch, q_strides, k_strides, v_strides };
    const bindings = [...inputs, ...outputs];
    if (!tile) {
      const size = samples * queries;
      const params = { size, queries, keys, depth, width, scale, ...layout };
      return [{ kernel: directKernel, params, bindings, workgroups: linearGrid(size, WORKGROUP) }];
    }
    const blocks = Math.ceil(queries / tile.rows);
    return [
      {
        kernel: tiledKernel,
        constants: tile.constants,
        params: {
          blocks,
          samples,
          queries,
          keys,
          depth: depth / 4,
          width: width / 4,
          scale: scale * Math.LOG2E,
          ...layout,
        },
        bindings,
        workgroups: linearGrid(blocks * samples, 1),
      },
    ];
  },
  wasm: attentionWasm,
  strided: readsInPlace,
  // With s = scale · q kᵀ and p = exp(s − lse): ds = p ∘ (g vᵀ − (g · o − dlse)).
  vjp([g, dlse], [q, k, v], [o, lse], { scale }) {
    const delta = g.mul(o).sum(-1).sub(dlse);
    return g.apply(attentionGrad, [g, q, k, v, delta, lse], { scale });
  },
  cases: [
    {
      inputs: [
        [2, 3, 7, 8],
        [2, 3, 7, 8],
        [2, 3, 7, 8],
      ],
      attrs: { scale: 0.35 },
    },
    {
      inputs: [
        [1, 33, 16],
        [1, 65, 16],
        [1, 65, 12],
      ],
      attrs: { scale: 0.25 },
    },
    {
      inputs: [
        [65, 64],
        [33, 64],
        [33, 72],
      ],
      attrs: { scale: 0.125 },
    },
    {
      inputs: [
        [2, 1, 6],
        [2, 3, 6],
        [2, 3, 5],
      ],
      attrs: { scale: 1 },
    },
    {
      inputs: [{ shape: [5, 8], range: [-6, 6] }, { shape: [70, 8], range: [-6, 6] }, [70, 8]],
      attrs: { scale: 0.35 },
    },
  ],
  errors: [
    {
      inputs: [
        [2, 3, 8],
        [2, 5, 4],
        [2, 5, 4],
      ],
      attrs: { scale: 1 },
      error: "attention: q [2, 3, 8], k [2, 5, 4], v [2, 5, 4]",
    },
  ],
  tolerance: { relL2: 1e-5 },
});

/**
 * The gradient of attention: inputs g [..., queries, width], q, k, v, delta and lse [..., queries]; outputs dq, dk, dv. With
 * p = exp(scale · q kᵀ − lse) and ds = scale · p ∘ (g vᵀ − delta): dq = ds k, dk = dsᵀ q, dv = pᵀ g.
 */
export const attentionGrad: Op<AttentionAttrs> = defineOp<AttentionAttrs>({
  name: "attentionGrad",
  infer([g, q, k, v, delta, lse]) {
    const queries = checkAttention("attentionGrad", q, k, v);
    if (!sameShape(g.shape, [...queries, v.shape[v.shape.length - 1]])) {
      throw new ShapeError(
        `attentionGrad: cotangent ${formatShape(g.shape)} of q ${formatShape(q.shape)}, v ${formatShape(v.shape)}`,
      );
    }
    if (!sameShape(delta.shape, queries) || !sameShape(lse.shape, queries)) {
      throw new ShapeError(
        `attentionGrad: delta ${formatShape(delta.shape)}, lse ${formatShape(lse.shape)}, want ${formatShape(queries)}`,
      );
    }
    return [float32(q.shape), float32(k.shape), float32(v.shape)];
  },
  cpu([dq, dk, dv], [g, q, k, v, delta, lse], { scale }) {
    const { samples, queries, keys, depth, width } = extents(q.shape, v.shape);
    const [readG, readQ, readK, readV, readDelta, readLse] = [g, q, k, v, delta, lse].map(elementReader);
    const sums = [dq, dk, dv].map(({ shape }) => new Float64Array(sizeOf(shape)));
    for (let i = 0; i < samples * queries; i++) {
      for (let key = 0; key < keys; key++) {
        const j = Math.floor(i / queries) * keys + key;
        const p = Math.exp(scale * dot(readQ, i, readK, j, depth) - readLse(i));
        const ds = scale * p * (dot(readG, i, readV, j, width) - readDelta(i));
        for (let c = 0; c < depth; c++) sums[0][i * depth + c] += ds * readK(j * depth + c);
        for (let c = 0; c < depth; c++) sums[1][j * depth + c] += ds * readQ(i * depth + c);
        for (let c = 0; c < width; c++) sums[2][j * width + c] += p * readG(i * width + c);
      }
    }
    for (const [k, out] of [dq, dk, dv].entries()) out.data.set(sums[k], out.offset);
  },
  gpu(call) {
    const {
      inputs: [g, q, k, v],
      outputs: [dq, dk, dv],
      temporary,
    } = call;
    return [gradCall(call, [k, v, q, g], [dk, dv], true), gradCall(call, [q, g, k, v], [dq, temporary(1)], false)];
  },
  wasm: attentionGradWasm,
  strided: (layout, index) => (index < 4 ? readsInPlace(layout) : isContiguous(layout) && layout.offset === 0),
  composed([g, q, k, v, delta, lse], { scale }) {
    const p = q.matmul(k.transpose()).mul(scale).sub(lse.unsqueeze(-1)).exp();
    const ds = p.mul(g.matmul(v.transpose()).sub(delta.unsqueeze(-1))).mul(scale);
    return [ds.matmul(k), ds.transpose().matmul(q), p.transpose().matmul(g)];
  },
  cases: [
    gradCase([2, 3], 7, 7, 8, 8),
    gradCase([1], 33, 65, 16, 12),
    gradCase([], 65, 33, 64, 72),
    gradCase([2], 1, 3, 6, 5),
  ],
  errors: [
    {
      inputs: [
        [2, 3, 4],
        [2, 3, 8],
        [2, 5, 8],
        [2, 5, 8],
        [2, 3],
        [2, 3],
      ],
      attrs: { scale: 1 },
      error: "attentionGrad: cotangent [2, 3, 4]",
    },
  ],
  tolerance: { relL2: 5e-5 },
});

/** Logarithms of denominators as large as they would be, so that the weights are at most about 1. */
function gradCase(batch: Shape, queries: number, keys: number, depth: number, width: number) {
  const [query, key] = [
    [...batch, queries],
    [...batch, keys],
  ];
  const lse = { shape: query, range: [Math.log(keys), Math.log(keys) + 1] as const };
  const inputs = [[...query, width], [...query, depth], [...key, depth], [...key, width], query, lse];
  return { inputs, attrs: { scale: depth ** -0.5 } };
}

/** The shape [..., queries]. @throws ShapeError unless q, k and v fit together */
function checkAttention(name: string, q: Spec, k: Spec, v: Spec): Shape {
  const [batch, queries, depth] = [q.shape.slice(0, -2), q.shape[q.shape.length - 2], q.shape[q.shape.length - 1]];
  const keys = k.shape[k.shape.length - 2];
  const width = v.shape[v.shape.length - 1];
  const fits =
    q.shape.length >= 2 && sameShape(k.shape, [...batch, keys, depth]) && sameShape(v.shape, [...batch, keys, width]);
  if (!fits || keys === 0 || depth === 0) {
    throw new ShapeError(
      `${name}: q ${formatShape(q.shape)}, k ${formatShape(k.shape)}, v ${formatShape(v.shape)}, want [..., queries, depth], [..., keys, depth] and [..., keys, width] with at least one key`,
    );
  }
  if ([q, k, v].some(({ dtype }) => dtype !== "float32")) {
    throw new Error(`${name}: types ${[q, k, v].map(({ dtype }) => dtype).join(", ")}, want float32`);
  }
  return [...batch, queries];
}

function extents(q: Shape, v: Shape) {
  const [queries, depth] = q.slice(-2);
  const [keys, width] = v.slice(-2);
  return { samples: sizeOf(q.slice(0, -2)), queries, keys, depth, width };
}

/** Row a of one matrix times row b of another. */
function dot(x: (i: number) => number, a: number, y: (i: number) => number, b: number, length: number): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += x(a * length + k) * y(b * length + k);
  return sum;
}

/** Whether the kernels read a layout as it is: rows of contiguous elements that start at quads, up to four axes before them. */
function readsInPlace({ shape, strides, offset, ...rest }: Layout): boolean {
  const isAligned = offset % 4 === 0 && shape[shape.length - 1] % 4 === 0;
  const rows = shape.every((n, k) => n === 1 || (k === shape.length - 1 ? strides[k] === 1 : strides[k] % 4 === 0));
  return (
    (isAligned && rows && shape.length <= 6) || (isContiguous({ shape, strides, offset, ...rest }) && offset === 0)
  );
}

/** Where the kernels find each operand's samples and rows, in elements or in quads. */
function addresses(operands: readonly View[], unit: number) {
  const inUnits = (values: readonly number[], filler: number) =>
    Array.from({ length: 4 }, (_, k) => (k < values.length ? values[k] : filler) / (filler === 1 ? 1 : unit));
  const leading = collapse(
    operands.map(({ shape, strides, offset }) => ({
      shape: shape.slice(0, -2),
      strides: strides.slice(0, -2),
      offset,
    })),
  );
  return {
    offsets: inUnits(
      operands.map(({ offset }) => offset),
      0,
    ),
    row_strides: inUnits(
      operands.map(({ strides }) => strides[strides.length - 2]),
      0,
    ),
    batch: inUnits(leading[0].shape, 1),
    strides: leading.map(({ strides }) => inUnits(strides, 0)),
  };
}

/**
 * The tiled kernels' constants; null where they do not apply: not on GPUs, rows that are no quads, rows too long for registers.
 * @param held how many elements of each row of the result a workgroup sums up
 * @param rows rows of all samples
 * @param results tensors that it sums up
 */
function tileFor(
  { profile, workgroupMemory }: GpuTarget,
  operands: readonly View[],
  held: number,
  rows: number,
  results: number,
) {
  const lengths = operands.map(({ shape }) => shape[shape.length - 1]);
  const across = held <= 32 ? 8 : 16;
  const quads = Math.ceil(held / (4 * across));
  if (profile === "direct" || !lengths.every((n) => n % 4 === 0) || quads > MAX_QUADS) return null;
  const step = [4, 2, 1].find((n) => lengths.every((length) => length % (4 * n) === 0));
  const memory = 16 * (4 * across + across) * (2 * DOWN + 1);
  const bands = quads * results <= 2 && memory <= workgroupMemory && rows >= 256 * DOWN ? 2 : 1;
  const constants = {
    ACROSS: `${across}u`,
    DOWN: `${DOWN}u`,
    BANDS: `${bands}u`,
    QUADS: `${quads}u`,
    STEP: `${step}u`,
  };
  return { rows: 4 * bands * DOWN, constants };
}

/** Gradients of the operands a (and b) of the rows [a, b] from those of the columns [c, d]. */
function gradCall(
  { inputs: [, , , , delta, lse], attrs: { scale }, target }: GpuCall<AttentionAttrs>,
  operands: readonly View[],
  outputs: readonly (View | Temporary)[],
  rowsAreKeys: boolean,
): KernelCall {
  const [a, b, c] = operands;
  const [rows, depth] = a.shape.slice(-2);
  const [columns, width] = [c.shape[c.shape.length - 2], b.shape[b.shape.length - 1]];
  const samples = sizeOf(a.shape.slice(0, -2));
  const tile = tileFor(target, operands, Math.max(depth, width), samples * rows, rowsAreKeys ? 2 : 1);
  const { offsets, row_strides, batch, strides } = addresses(operands, tile ? 4 : 1);
  const [a_strides, b_strides, c_strides, d_strides] = strides;
  const layout = { offsets, row_strides, batch, a_strides, b_strides, c_strides, d_strides };
  const bindings = [...operands, delta, lse, ...outputs];
  if (!tile) {
    const size = samples * rows;
    return {
      kernel: directGradKernel,
      constants: { ROWS_ARE_KEYS: rowsAreKeys },
      params: { size, rows, columns, depth, width, scale, ...layout },
      bindings,
      workgroups: linearGrid(size, WORKGROUP),
    };
  }
  const blocks = Math.ceil(rows / tile.rows);
  return {
    kernel: tiledGradKernel,
    constants: { ROWS_ARE_KEYS: rowsAreKeys, ...tile.constants },
    params: { blocks, samples, rows, columns, depth: depth / 4, width: width / 4, scale, ...layout },
    bindings,
    workgroups: linearGrid(blocks * samples, 1),
  };
}
