// Updates of parameters and averages, the gradient's norm and the scale of the loss on WebGPU.

import adamWKernel from "@pkg/kernels/optimizer/adam_w.wgsl";
import emaKernel from "@pkg/kernels/optimizer/ema.wgsl";
import lossScaleKernel from "@pkg/kernels/optimizer/loss_scale.wgsl";
import globalNormKernel from "@pkg/kernels/reductions/global_norm.wgsl";
import type { KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import { type AdamWAttrs, constantsOf, isScaled } from "./adamConstants.ts";
import type { EmaAttrs } from "./ema.ts";
import { type LossScaleAttrs, numbersOf } from "./lossScaleNumbers.ts";

/** Elements whose squares a workgroup of the norm adds up. */
const CHUNK = 4096;

export const adamWWebgpu: WebgpuRule<AdamWAttrs> = {
  calls({ inputs: [, g, , , scale], outputs, attrs }) {
    const quads = Math.ceil(sizeOf(g.shape) / 4);
    return [
      {
        kernel: adamWKernel,
        constants: { IS_SCALED: isScaled(scale) },
        params: { quads, ...constantsOf(attrs, isScaled(scale)) },
        bindings: [g, scale, ...outputs],
        grid: { threads: quads },
      },
    ];
  },
};

export const emaWebgpu: WebgpuRule<EmaAttrs> = {
  calls({ inputs: [, value], outputs: [out], attrs: { weight } }) {
    const quads = Math.ceil(sizeOf(out.shape) / 4);
    return [
      {
        kernel: emaKernel,
        params: { quads, weight },
        bindings: [value, out],
        grid: { threads: quads },
      },
    ];
  },
};

/** A dispatch per input, so that any number of them can be bound. */
export const globalNormWebgpu: WebgpuRule<undefined> = {
  calls({ inputs, outputs: [out], temporary }) {
    const chunksOf = (size: number) => Math.max(1, Math.ceil(size / CHUNK));
    const counts = inputs.map(({ shape }) => chunksOf(sizeOf(shape)));
    const calls: KernelCall[] = [];
    const pass = (input: View | Temporary, size: number, to: View | Temporary, first: number, constants: object) => {
      calls.push({
        kernel: globalNormKernel,
        constants: { CHUNK: `${CHUNK}u`, ...constants },
        params: { size, first },
        bindings: [input, to],
        grid: { workgroups: chunksOf(size) },
      });
    };
    const OF_SUMS = { In: "vec2f", term: "return x;" };
    let count = counts.reduce((a, b) => a + b, 0);
    let sums = temporary(2 * count);
    let first = 0;
    for (const [k, input] of inputs.entries()) {
      pass(input, sizeOf(input.shape), sums, first, {});
      first += counts[k];
    }
    while (count > CHUNK) {
      const fewer = temporary(2 * chunksOf(count));
      pass(sums, count, fewer, 0, OF_SUMS);
      [sums, count] = [fewer, chunksOf(count)];
    }
    pass(sums, count, out, 0, { ...OF_SUMS, Out: "f32", result: "return norm(sums);" });
    return calls;
  },
};

export const lossScaleWebgpu: WebgpuRule<LossScaleAttrs> = {
  calls: ({ inputs, outputs, attrs }) => [
    { kernel: lossScaleKernel, params: numbersOf(attrs), bindings: [...inputs, ...outputs], grid: { threads: 1 } },
  ],
};
