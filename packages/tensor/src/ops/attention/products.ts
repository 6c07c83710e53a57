// Attention and its gradient on WebGPU from batched products, with a pass over the scores between them. Software adapters use it, and
// rows that the tiled kernels do not take.

import slopesKernel from "@pkg/kernels/attention/attention_slopes.wgsl";
import weightsKernel from "@pkg/kernels/attention/attention_weights.wgsl";
import strange from "@pkg/kernels/functions/strange.wgsl";
import type { GpuCall, KernelCall } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { sizeOf, transposed } from "../../shape.ts";
import { matmulCalls } from "../matmul/webgpu.ts";
import type { AttentionAttrs } from "./attention.ts";
import { inRuns, scoresOf } from "./runs.ts";

const NAN_IN_NUMBER = "return (bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u;";

export function attentionByProducts(whole: GpuCall<AttentionAttrs>): KernelCall[] {
  const [q, k] = whole.inputs;
  return inRuns(whole, [q, k], (call) => {
    const [q, k, v] = call.inputs;
    const [o, lse] = call.outputs;
    const scores = scoresOf(q, k, call.temporary);
    const rows = sizeOf(lse.shape);
    const width = widthOf(scores);
    return [
      ...product(call, q, transposed(k), scores),
      {
        kernel: weightsKernel,
        library: strange,
        constants:
          width === 4 ? {} : { Vector: "f32", largest_of: "return v;", sum_of: "return v;", has_nan: NAN_IN_NUMBER },
        params: { rows, length: lengthOf(scores) / width, scale: call.attrs.scale, lse_offset: lse.offset },
        bindings: [scores, lse],
        grid: { threads: rows },
      },
      ...product(call, scores, v, o),
    ];
  });
}

export function attentionGradByProducts(whole: GpuCall<AttentionAttrs>): KernelCall[] {
  const [, q, k] = whole.inputs;
  return inRuns(whole, [q, k], (call) => {
    const [g, q, k, v, delta, lse] = call.inputs;
    const [dq, dk, dv] = call.outputs;
    const [weights, slopes] = [scoresOf(q, k, call.temporary), scoresOf(q, k, call.temporary)];
    const width = widthOf(weights);
    const size = sizeOf(weights.shape) / width;
    const length = lengthOf(weights) / width;
    return [
      ...product(call, q, transposed(k), weights),
      ...product(call, g, transposed(v), slopes),
      {
        kernel: slopesKernel,
        constants: width === 4 ? {} : { Vector: "f32", Bits: "u32" },
        params: { size, length, scale: call.attrs.scale, lse_offset: lse.offset, delta_offset: delta.offset },
        bindings: [lse, delta, weights, slopes],
        grid: { threads: size },
      },
      ...product(call, slopes, k, dq),
      ...product(call, transposed(slopes), q, dk),
      ...product(call, transposed(weights), g, dv),
    ];
  });
}

/** In float32 whatever the precision of products, as in the tiled kernels. */
function product(call: GpuCall<AttentionAttrs>, a: View, b: View, out: View): KernelCall[] {
  const target = { ...call.target, half: false, matrix: undefined };
  return matmulCalls({ ...call, target, attrs: undefined, inputs: [a, b], outputs: [out] });
}

/** How many scores the passes over them take at once. */
function widthOf(scores: View): 1 | 4 {
  return lengthOf(scores) % 4 === 0 ? 4 : 1;
}

function lengthOf({ shape }: View): number {
  return shape[shape.length - 1];
}
