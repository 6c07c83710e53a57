// The WebAssembly calls of attention and its gradient: batched products, with a pass over the rows of scores between them.

import type { WasmCall, WasmOperands } from "../../op.ts";
import { sizeOf, transposed } from "../../shape.ts";
import { grainOf } from "../dispatch.ts";
import { productCalls } from "../matmul/wasm.ts";
import type { AttentionAttrs } from "./attention.ts";
import { inRuns, scoresOf } from "./runs.ts";

export function attentionWasm(operands: WasmOperands<AttentionAttrs>): WasmCall[] {
  const [q, k] = operands.inputs;
  return inRuns(operands, [q, k], ({ inputs, outputs, attrs, temporary }) => {
    const [q, k, v] = inputs;
    const [o, lse] = outputs;
    const scores = scoresOf(q, k, temporary);
    const keys = scores.shape[scores.shape.length - 1];
    const rows = sizeOf(lse.shape);
    return [
      ...productCalls(q, transposed(k), scores, temporary),
      {
        kernel: "softmax",
        rows,
        grain: grainOf(keys, 4),
        args: { out: scores, lse, x: scores, length: keys, scale: attrs.scale },
      },
      ...productCalls(scores, v, o, temporary),
    ];
  });
}

export function attentionGradWasm(operands: WasmOperands<AttentionAttrs>): WasmCall[] | null {
  const [, q, k, v, , lse] = operands.inputs;
  if (sizeOf(lse.shape) === 0 || v.shape.at(-1) === 0) return null;
  return inRuns(operands, [q, k], ({ inputs, outputs, attrs, temporary }) => {
    const [g, q, k, v, delta, lse] = inputs;
    const [dq, dk, dv] = outputs;
    const [weights, slopes] = [scoresOf(q, k, temporary), scoresOf(q, k, temporary)];
    const keys = weights.shape[weights.shape.length - 1];
    return [
      ...productCalls(q, transposed(k), weights, temporary),
      ...productCalls(g, transposed(v), slopes, temporary),
      {
        kernel: "attention_slopes",
        rows: sizeOf(lse.shape),
        grain: grainOf(keys, 4),
        args: { s: weights, dp: slopes, lse, delta, length: keys, scale: attrs.scale },
      },
      ...productCalls(slopes, k, dq, temporary),
      ...productCalls(transposed(slopes), q, dk, temporary),
      ...productCalls(transposed(weights), g, dv, temporary),
    ];
  });
}
