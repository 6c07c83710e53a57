// The WebAssembly calls of attention and its gradient: batched products, with a pass over the rows of scores between them.

import { grainOf, type WasmCall, type WasmOperands, type WasmRule } from "../../backends/wasm/rule.ts";
import { type Layout, sizeOf, transposed } from "../../shape.ts";
import { productCalls } from "../matmul/wasm.ts";
import type { AttentionAttrs } from "./attention.ts";
import { inRuns, scoresOf } from "./runs.ts";

export const attentionWasm: WasmRule<AttentionAttrs> = { calls: attentionCalls, takes: hasContiguousRows };

/** All inputs but the last two, of one number per query. */
export const attentionGradWasm: WasmRule<AttentionAttrs> = {
  calls: attentionGradCalls,
  takes: (input, index) => index < 4 && hasContiguousRows(input),
};

function attentionCalls(operands: WasmOperands<AttentionAttrs>): WasmCall[] {
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

function attentionGradCalls(operands: WasmOperands<AttentionAttrs>): WasmCall[] | null {
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

/** The products read rows at any stride from any element on. */
function hasContiguousRows({ shape, strides }: Layout): boolean {
  const last = shape.length - 1;
  return strides[last] === 1 || shape[last] === 1;
}
