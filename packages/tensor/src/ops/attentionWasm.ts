// The WebAssembly calls of attention and its gradient: batched products, with a pass over the rows of scores between them.

import type { Temporary, WasmCall, WasmOperands } from "../op.ts";
import { contiguousLayout, sizeOf } from "../shape.ts";
import type { AttentionAttrs } from "./attention.ts";
import { grainOf } from "./dispatch.ts";
import { type Matrix, matrix, productCalls, transposed } from "./matmulWasm.ts";

export function attentionWasm({ inputs, outputs, attrs, temporary }: WasmOperands<AttentionAttrs>): WasmCall[] | null {
  const [q, k, v] = inputs.map(matrix);
  const [o, lse] = outputs;
  const scores = scoresOf(q, k, temporary);
  const keys = scores.layout.shape[scores.layout.shape.length - 1];
  const rows = sizeOf(lse.shape);
  return [
    ...productCalls(q, transposed(k), scores.at, temporary),
    { kernel: "softmax", rows, grain: grainOf(keys, 4), args: [scores.at, lse, scores.at, keys, attrs.scale] },
    ...productCalls(scores, v, o, temporary),
  ];
}

export function attentionGradWasm({
  inputs,
  outputs,
  attrs,
  temporary,
}: WasmOperands<AttentionAttrs>): WasmCall[] | null {
  const [g, q, k, v] = inputs.map(matrix);
  const [, , , , delta, lse] = inputs;
  const [dq, dk, dv] = outputs;
  if (sizeOf(lse.shape) === 0 || v.layout.shape.at(-1) === 0) return null;
  const [weights, slopes] = [scoresOf(q, k, temporary), scoresOf(q, k, temporary)];
  const keys = weights.layout.shape[weights.layout.shape.length - 1];
  return [
    ...productCalls(q, transposed(k), weights.at, temporary),
    ...productCalls(g, transposed(v), slopes.at, temporary),
    {
      kernel: "attention_slopes",
      rows: sizeOf(lse.shape),
      grain: grainOf(keys, 4),
      args: [weights.at, slopes.at, lse, delta, keys, attrs.scale],
    },
    ...productCalls(slopes, k, dq, temporary),
    ...productCalls(transposed(slopes), q, dk, temporary),
    ...productCalls(transposed(weights), g, dv, temporary),
  ];
}

/** Scratch for a number a query and key: [..., queries, keys]. */
function scoresOf(q: Matrix, k: Matrix, temporary: (size: number) => Temporary): Matrix {
  const shape = [...q.layout.shape.slice(0, -1), k.layout.shape[k.layout.shape.length - 2]];
  return { at: temporary(sizeOf(shape)), layout: contiguousLayout(shape) };
}
