// Random tensors, dropout and noise on WebGPU: four elements per invocation, each made of its own words of a draw.

import mulHigh from "@pkg/kernels/functions/mul_high.wgsl";
import boxMuller from "@pkg/kernels/random/box_muller.wgsl";
import dropoutKernel from "@pkg/kernels/random/dropout.wgsl";
import noiseAddKernel from "@pkg/kernels/random/noise_add.wgsl";
import philox from "@pkg/kernels/random/philox.wgsl";
import normalKernel from "@pkg/kernels/random/philox_normal.wgsl";
import wordsKernel from "@pkg/kernels/random/philox_words.wgsl";
import { type KernelCall, type WebgpuRule, WGSL_TYPE } from "../../backends/webgpu/rule.ts";
import { trialBound } from "../../random/distributions.ts";
import { type Draw, halves } from "../../random/philox.ts";
import { sizeOf } from "../../shape.ts";
import type { DropoutAttrs } from "./dropout.ts";
import type { Random } from "./random.ts";

/** WGSL: random words by Philox, and normals of them. */
const wordsLibrary = philox + mulHigh;
const normalsLibrary = boxMuller + wordsLibrary;

/** The rule of a random op. @param params of the kernel, that follow from a draw */
export function randomWebgpu<Drawn extends Draw>(
  { dtype, wgsl }: Random<Drawn>,
  params: (draw: Drawn) => NonNullable<KernelCall["params"]>,
): WebgpuRule<Drawn> {
  return {
    calls({ outputs: [out], attrs }) {
      const quads = Math.ceil(sizeOf(out.shape) / 4);
      const given = { ...params(attrs), quads, zero: 0 };
      const common = { bindings: [out], grid: { threads: quads } };
      if (wgsl === null) return [{ kernel: normalKernel, library: normalsLibrary, params: given, ...common }];
      return [
        {
          kernel: wordsKernel,
          library: wordsLibrary,
          constants: { Out: WGSL_TYPE[dtype], value: `return ${wgsl};` },
          params: { scale: 0, shift: 0, low: 0, bound: 0, ...given },
          ...common,
        },
      ];
    },
  };
}

/** The parameters that say where in which stream a kernel's words lie. */
export function drawParams({ key, index }: Draw): Readonly<Record<"key" | "draw", readonly number[]>> {
  return { key, draw: halves(index) };
}

export const dropoutWebgpu: WebgpuRule<DropoutAttrs> = {
  calls({ inputs: [x], outputs: [out], attrs }) {
    const quads = Math.ceil(sizeOf(x.shape) / 4);
    return [
      {
        kernel: dropoutKernel,
        library: wordsLibrary,
        params: { ...dropoutParams(attrs), quads },
        bindings: [x, out],
        grid: { threads: quads },
      },
    ];
  },
};

export function dropoutParams({ rate, ...draw }: DropoutAttrs) {
  return { ...drawParams(draw), scale: 1 / (1 - rate), bound: trialBound(rate) };
}

export const noiseAddWebgpu: WebgpuRule<Draw> = {
  calls({ inputs: [x0, signal, noise], outputs: [noisy, epsilon], attrs: draw }) {
    const size = sizeOf(x0.shape);
    const row = size / x0.shape[0];
    return [
      {
        kernel: noiseAddKernel,
        library: normalsLibrary,
        constants: { IS_ROW_OF_QUADS: row % 4 === 0 },
        params: { ...drawParams(draw), size, row, zero: 0 },
        bindings: [x0, signal, noise, noisy, epsilon],
        grid: { threads: Math.ceil(size / 4) },
      },
    ];
  },
};
