// Operands of products rounded to float16, for backends of mixed precision: half the bytes, and what subgroup matrices take.

import roundKernel from "@pkg/kernels/elementwise/round_half.wgsl";
import type { GpuCall, KernelCall } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { spanOf } from "../../shape.ts";

/**
 * A call on the first two operands as the target wants them: rounded to float16 in scratch, as two in a word with the same strides,
 * by the calls of `rounding`; or as they are.
 */
export function halved<Attrs>(call: GpuCall<Attrs>): {
  readonly rounding: readonly KernelCall[];
  readonly call: GpuCall<Attrs>;
} {
  if (!call.target.half) return { rounding: [], call };
  const rounded = call.inputs.slice(0, 2).map((view) => {
    const { first, quads } = quadsOf(view);
    const into: View & Temporary = { ...view, ...call.temporary(2 * quads), offset: view.offset - 4 * first };
    return { view: into, call: roundingCall(view, into) };
  });
  const inputs = [...rounded.map(({ view }) => view), ...call.inputs.slice(2)];
  return { rounding: rounded.map((one) => one.call), call: { ...call, inputs } };
}

/** Rounds all from the quad of a view's first element to that of its last. */
export function roundingCall(view: View, into: View | Temporary): KernelCall {
  const { first, quads } = quadsOf(view);
  return {
    kernel: roundKernel,
    params: { quads, first },
    bindings: [view, into],
    grid: { threads: quads },
  };
}

function quadsOf(view: View): { first: number; quads: number } {
  const [first, last] = spanOf(view).map((element) => Math.floor(element / 4));
  return { first, quads: last + 1 - first };
}
