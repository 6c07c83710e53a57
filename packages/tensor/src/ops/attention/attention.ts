// Scaled dot-product attention and its gradient: fused forward and backward; the second order is composed.

import { defineOp, float32, type Op } from "../../op.ts";
import { formatShape, type Shape, ShapeError, type Spec, sameShape, sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { attentionGradWasm, attentionWasm } from "./wasm.ts";
import { attentionGradWebgpu, attentionWebgpu } from "./webgpu.ts";

export interface AttentionAttrs {
  /** What q · k is multiplied with. */
  readonly scale: number;
}

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
  strided: true,
  webgpu: attentionWebgpu,
  wasm: attentionWasm,
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
        `attentionGrad: cotangent ${formatShape(g.shape)} of q ${formatShape(q.shape)}, v ${formatShape(v.shape)}, want [..., queries, width]`,
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
      const first = Math.floor(i / queries) * keys;
      const scores = Array.from({ length: keys }, (_, key) => scale * dot(readQ, i, readK, first + key, depth));
      const weight = weightOf(scores, readLse(i), lse.data instanceof Float32Array);
      for (const [key, score] of scores.entries()) {
        const j = first + key;
        const p = weight(score);
        const ds = scale * p * (dot(readG, i, readV, j, width) - readDelta(i));
        for (let c = 0; c < depth; c++) sums[0][i * depth + c] += ds * readK(j * depth + c);
        for (let c = 0; c < depth; c++) sums[1][j * depth + c] += ds * readQ(i * depth + c);
        for (let c = 0; c < width; c++) sums[2][j * width + c] += p * readG(i * width + c);
      }
    }
    for (const [k, out] of [dq, dk, dv].entries()) out.data.set(sums[k], out.offset);
  },
  strided: true,
  webgpu: attentionGradWebgpu,
  wasm: attentionGradWasm,
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
  return [...batch, queries];
}

/** The sizes of everything; `samples` are the leading axes together. */
function extents(q: Shape, v: Shape) {
  const [queries, depth] = q.slice(-2);
  const [keys, width] = v.slice(-2);
  return { samples: sizeOf(q.slice(0, -2)), queries, keys, depth, width };
}

/**
 * e^(s − lse) of a row's scores. An lse that is the rounded logarithm of their own sum stands for the sum itself: beside large scores
 * its digits are lost.
 */
function weightOf(scores: readonly number[], lse: number, isSingle: boolean): (score: number) => number {
  const peak = Math.max(...scores);
  const total = scores.reduce((sum, s) => sum + Math.exp(s - peak), 0);
  const own = peak + Math.log(total);
  return (isSingle ? Math.fround(own) : own) === lse ? (s) => Math.exp(s - peak) / total : (s) => Math.exp(s - lse);
}

/** Row a of one matrix times row b of another. */
function dot(x: (i: number) => number, a: number, y: (i: number) => number, b: number, length: number): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += x(a * length + k) * y(b * length + k);
  return sum;
}
