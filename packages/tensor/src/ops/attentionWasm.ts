// The WebAssembly calls of attention and its gradient: batched products, with a pass over the rows of scores between them, for as
// many samples at once as have scores that stay in a processor's caches.

import type { Temporary, View, WasmCall, WasmOperands } from "../op.ts";
import { contiguousLayout, sizeOf } from "../shape.ts";
import type { AttentionAttrs } from "./attention.ts";
import { grainOf } from "./dispatch.ts";
import { type Matrix, matrix, productCalls, transposed } from "./matmulWasm.ts";

/** Scores worked on at once: 4 MiB, whatever the batch. */
const MOST_SCORES = 2 ** 20;

type Calls = (operands: WasmOperands<AttentionAttrs>) => WasmCall[];

export function attentionWasm(operands: WasmOperands<AttentionAttrs>): WasmCall[] {
  const [q, k] = operands.inputs;
  return inRuns(operands, q, k, ({ inputs, outputs, attrs, temporary }) => {
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
  });
}

export function attentionGradWasm(operands: WasmOperands<AttentionAttrs>): WasmCall[] | null {
  const [, q, k, v, , lse] = operands.inputs;
  if (sizeOf(lse.shape) === 0 || v.shape.at(-1) === 0) return null;
  return inRuns(operands, q, k, ({ inputs, outputs, attrs, temporary }) => {
    const [g, q, k, v] = inputs.map(matrix);
    const [, , , , delta, lse] = inputs;
    const [dq, dk, dv] = outputs;
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
  });
}

/** The calls for all samples, in runs that use the same scratch one after another. */
function inRuns(
  { inputs, outputs, attrs, temporary }: WasmOperands<AttentionAttrs>,
  q: View,
  k: View,
  calls: Calls,
): WasmCall[] {
  const leading = q.shape.length - 2;
  const scores = ([{ shape }]: readonly View[]) =>
    sizeOf(shape.slice(0, leading)) * q.shape[leading] * k.shape[leading];
  const runs = (views: readonly View[]): (readonly View[])[] => {
    const axis = views[0].shape.findIndex((n, at) => at < leading && n > 1);
    if (axis === -1 || scores(views) <= MOST_SCORES) return [views];
    const count = views[0].shape[axis];
    const each = Math.max(1, Math.floor((count * MOST_SCORES) / scores(views)));
    const parts = Array.from({ length: Math.ceil(count / each) }, (_, part) =>
      views.map((view) => narrowed(view, axis, part * each, Math.min(count, (part + 1) * each))),
    );
    return parts.flatMap(runs);
  };
  const scratch: Temporary[] = [];
  return runs([...inputs, ...outputs]).flatMap((views) => {
    let used = 0;
    const again = (size: number): Temporary => {
      const known = scratch[used];
      if (!known || known.size < size) scratch[used] = temporary(size);
      return scratch[used++];
    };
    return calls({
      inputs: views.slice(0, inputs.length),
      outputs: views.slice(inputs.length),
      attrs,
      temporary: again,
    });
  });
}

function narrowed(view: View, axis: number, from: number, to: number): View {
  const shape = view.shape.with(axis, to - from);
  return { ...view, shape, offset: view.offset + from * view.strides[axis] };
}

/** Scratch for a number a query and key: [..., queries, keys]. */
function scoresOf(q: Matrix, k: Matrix, temporary: (size: number) => Temporary): Matrix {
  const shape = [...q.layout.shape.slice(0, -1), k.layout.shape[k.layout.shape.length - 2]];
  return { at: temporary(sizeOf(shape)), layout: contiguousLayout(shape) };
}
