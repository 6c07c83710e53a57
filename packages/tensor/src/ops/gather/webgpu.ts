// Gathering and scattering by index on WebGPU.

import gatherKernel from "@pkg/kernels/indexing/gather.wgsl";
import gatherAlongKernel from "@pkg/kernels/indexing/gather_along.wgsl";
import oneHotKernel from "@pkg/kernels/indexing/one_hot.wgsl";
import scatterAddKernel from "@pkg/kernels/indexing/scatter_add.wgsl";
import scatterAlongKernel from "@pkg/kernels/indexing/scatter_along.wgsl";
import { type KernelCall, type WebgpuRule, WGSL_TYPE } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { type DType, type Shape, sizeOf } from "../../shape.ts";
import type { OneHotAttrs, ScatterAddAttrs } from "./gather.ts";
import type { GatherAlongAttrs, ScatterAlongAttrs } from "./gatherAlong.ts";

export const gatherWebgpu: WebgpuRule<undefined> = {
  calls({ inputs: [table, indices], outputs: [out] }) {
    const { Element, width, size } = rowElements("uint32", table.shape.slice(1), sizeOf(out.shape));
    return [
      {
        kernel: gatherKernel,
        constants: { Element },
        params: { size, rows: table.shape[0], width, missing: missingBits(out.dtype) },
        bindings: [table, indices, out],
        grid: { threads: size },
      },
    ];
  },
};

export const scatterAddWebgpu: WebgpuRule<ScatterAddAttrs> = {
  calls({ inputs: [values, indices], outputs: [out] }) {
    const { Element, width, size } = rowElements(out.dtype, out.shape.slice(1), sizeOf(out.shape));
    return [
      {
        kernel: scatterAddKernel,
        constants: { Element },
        params: { size, count: sizeOf(indices.shape), width },
        bindings: [values, indices, out],
        grid: { threads: size },
      },
    ];
  },
};

export const oneHotWebgpu: WebgpuRule<OneHotAttrs> = {
  calls({ inputs: [indices], outputs: [out], attrs: { depth } }) {
    const size = sizeOf(out.shape);
    return [
      {
        kernel: oneHotKernel,
        params: { size, depth },
        bindings: [indices, out],
        grid: { threads: size },
      },
    ];
  },
};

export const gatherAlongWebgpu: WebgpuRule<GatherAlongAttrs> = {
  calls: ({ inputs: [x, indices], outputs: [out], attrs: { axis } }) => [gatherCall(x, indices, out, axis)],
};

export const scatterAlongWebgpu: WebgpuRule<ScatterAlongAttrs> = {
  calls({ inputs: [values, indices], outputs: [out], attrs: { axis, length } }) {
    const size = sizeOf(out.shape);
    return [
      {
        kernel: scatterAlongKernel,
        params: { size, length, count: values.shape[axis], inner: sizeOf(out.shape.slice(axis + 1)) },
        bindings: [values, indices, out],
        grid: { threads: size },
      },
    ];
  },
};

/** The kernel call of gatherAlong, for other ops that have indices. */
export function gatherCall(x: View, indices: View, out: View, axis: number): KernelCall {
  const size = sizeOf(out.shape);
  return {
    kernel: gatherAlongKernel,
    params: {
      size,
      length: x.shape[axis],
      count: out.shape[axis],
      inner: sizeOf(out.shape.slice(axis + 1)),
      missing: missingBits(out.dtype),
    },
    bindings: [x, indices, out],
    grid: { threads: size },
  };
}

/** The bits of what stands for an element that an index outside asks for (`missingOf`): the quiet NaN that arithmetic makes, or 0. */
function missingBits(dtype: DType): number {
  return dtype === "float32" ? 0x7fc00000 : 0;
}

/** Rows counted in elements, or in quads of them where they are made of such. */
function rowElements(dtype: DType, rest: Shape, size: number) {
  const width = sizeOf(rest);
  const isVector = width % 4 === 0;
  const type = WGSL_TYPE[dtype];
  return isVector ? { Element: `vec4<${type}>`, width: width / 4, size: size / 4 } : { Element: type, width, size };
}
