// Elementwise ops on WebGPU: an expression is set into one of two kernels, for contiguous operands and for others.

import stridedKernel from "@pkg/kernels/elementwise/elementwise.wgsl";
import contiguousKernel from "@pkg/kernels/elementwise/elementwise_vec4.wgsl";
import weightedSumKernel from "@pkg/kernels/elementwise/weighted_sum.wgsl";
import { type KernelCall, type WebgpuRule, WGSL_TYPE } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { collapse, isContiguous, isOneElement, perAxis, sizeOf } from "../../shape.ts";
import type { Elementwise } from "./elementwise.ts";
import type { SumWeightedAttrs } from "./weightedSum.ts";

/** Tensors that one pass adds up: every device binds eight storage buffers, and one is the result's. */
const MAX_SUMMED = 7;

/** The rule of an elementwise op. It takes inputs of any layout. */
export function elementwiseWebgpu<Attrs>({ wgsl, scalars, library }: Elementwise<Attrs>): WebgpuRule<Attrs> {
  return {
    calls({ inputs, outputs, attrs }) {
      const types = inputs.map(({ dtype }) => dtype);
      const expression = typeof wgsl === "string" ? wgsl : wgsl(types, attrs);
      return [elementwiseCall(inputs, outputs[0], expression, scalars?.(attrs), library)];
    },
    takes: () => true,
  };
}

/** One pass of an expression in the elements a, b, c of the inputs. */
export function elementwiseCall(
  inputs: readonly View[],
  out: View,
  wgsl: string,
  scalars: readonly number[] = [],
  library?: string,
): KernelCall {
  const size = sizeOf(out.shape);
  // The kernels declare three inputs; an op with fewer binds its first in the others' place, where nobody reads it.
  const operands = [0, 1, 2].map((k) => inputs[k] ?? inputs[0]);
  const offsets = [...operands.map(({ offset }) => offset), 0];
  const bindings = [...operands, out];
  const [A, B, C, Out] = bindings.map(({ dtype }) => WGSL_TYPE[dtype]);
  const shared = { A, B, C, Out, ARITY: `${inputs.length}u`, f: `return ${wgsl};` };
  if (inputs.every((input) => isOneElement(input) || (isContiguous(input) && input.offset % 4 === 0))) {
    const [A_IS_SCALAR, B_IS_SCALAR, C_IS_SCALAR] = operands.map(isOneElement);
    const quads = Math.ceil(size / 4);
    return {
      kernel: contiguousKernel,
      library,
      constants: { ...shared, A_IS_SCALAR, B_IS_SCALAR, C_IS_SCALAR },
      params: { quads, ...scalarParams(scalars), offsets },
      bindings,
      grid: { threads: quads },
    };
  }
  const [{ shape }, a, b, c] = collapse([out, ...operands]);
  return {
    kernel: stridedKernel,
    library,
    constants: { ...shared, RANK: `${shape.length}u` },
    params: {
      size,
      ...scalarParams(scalars),
      offsets,
      shape: perAxis(shape),
      a_strides: perAxis(a.strides),
      b_strides: perAxis(b.strides),
      c_strides: perAxis(c.strides),
    },
    bindings,
    grid: { threads: size },
  };
}

/** The parameters of both kernels that carry an op's numbers. */
export function scalarParams([s0 = 0, s1 = 0]: readonly number[]) {
  return { s0, s1 };
}

export const sumWeightedWebgpu: WebgpuRule<SumWeightedAttrs> = {
  calls({ inputs, outputs: [out], attrs, temporary }) {
    const quads = Math.ceil(sizeOf(out.shape) / 4);
    const passes = 1 + Math.max(0, Math.ceil((inputs.length - MAX_SUMMED) / (MAX_SUMMED - 1)));
    const sums = Array.from({ length: Math.min(2, passes - 1) }, () => temporary(4 * quads));
    return Array.from({ length: passes }, (_, call) => {
      const added = partOf(inputs, call);
      const summed = call === 0 ? added : [sums[(call - 1) % 2], ...added];
      // The kernel declares all inputs there may be; the first is bound instead of those that are not there.
      const operands = Array.from({ length: MAX_SUMMED }, (_, k) => summed[k] ?? summed[0]);
      return {
        kernel: weightedSumKernel,
        constants: { COUNT: `${summed.length}u` },
        params: { quads, ...weightParams(attrs, call) },
        bindings: [...operands, call === passes - 1 ? out : sums[call % 2]],
        grid: { threads: quads },
      };
    });
  },
};

/** The parameters of a pass that carry the weights: of its inputs, after 1 for the sum of the passes before. */
export function weightParams({ weights }: SumWeightedAttrs, call: number) {
  const used = call === 0 ? partOf(weights, call) : [1, ...partOf(weights, call)];
  return { weights: [...used, ...new Array<number>(MAX_SUMMED + 1 - used.length).fill(0)] };
}

/** What a pass adds: as many as it takes, which is one fewer beside the sum of the passes before. */
function partOf<T>(all: readonly T[], call: number): readonly T[] {
  const end = MAX_SUMMED + call * (MAX_SUMMED - 1);
  return all.slice(call === 0 ? 0 : end - (MAX_SUMMED - 1), end);
}
