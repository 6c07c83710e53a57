// Filling, joining and unslicing on WebGPU.

import fillKernel from "@pkg/kernels/elementwise/fill.wgsl";
import concatKernel from "@pkg/kernels/indexing/concat.wgsl";
import unsliceKernel from "@pkg/kernels/indexing/unslice.wgsl";
import { type WebgpuRule, WGSL_TYPE } from "../../backends/webgpu/rule.ts";
import { bitsOf } from "../../element.ts";
import { perAxis, sizeOf, stridesOf } from "../../shape.ts";
import type { ConcatAttrs, FillAttrs } from "./copy.ts";
import type { SliceAttrs } from "./views.ts";

export const fillWebgpu: WebgpuRule<FillAttrs> = {
  calls: ({ outputs: [out], attrs: { value, dtype } }) => [
    {
      kernel: fillKernel,
      constants: { Out: WGSL_TYPE[out.dtype] },
      params: { bits: bitsOf(value, dtype) },
      bindings: [out],
      grid: { threads: 1 },
    },
  ],
};

/** A dispatch per input, so that any number of them can be bound. */
export const concatWebgpu: WebgpuRule<ConcatAttrs> = {
  calls({ inputs, outputs: [out], attrs: { axis } }) {
    const row = sizeOf(out.shape.slice(axis));
    let start = 0;
    return inputs.flatMap((input) => {
      const size = sizeOf(input.shape);
      const piece = sizeOf(input.shape.slice(axis));
      const call = {
        kernel: concatKernel,
        constants: { Element: WGSL_TYPE[out.dtype] },
        params: { size, piece, row, start },
        bindings: [input, out],
        grid: { threads: size },
      };
      start += piece;
      return size > 0 ? [call] : [];
    });
  },
};

export const unsliceWebgpu: WebgpuRule<SliceAttrs> = {
  calls({ inputs: [x], outputs: [out], attrs: { starts, steps } }) {
    const size = sizeOf(out.shape);
    return [
      {
        kernel: unsliceKernel,
        constants: { Element: WGSL_TYPE[x.dtype], RANK: `${x.shape.length}u` },
        params: {
          size,
          shape: perAxis(out.shape),
          input_shape: perAxis(x.shape),
          input_strides: perAxis(stridesOf(x.shape)),
          starts: perAxis(starts),
          steps: perAxis(steps),
        },
        bindings: [x, out],
        grid: { threads: size },
      },
    ];
  },
};
