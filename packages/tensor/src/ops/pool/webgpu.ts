// Sum pooling and its transpose on WebGPU.

import windowKernel from "@pkg/kernels/convolution/window_sum.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import { sizeOf } from "../../shape.ts";
import type { SpreadAttrs, WindowAttrs } from "./pool.ts";

export const windowSumWebgpu: WebgpuRule<WindowAttrs> = { calls: (call) => [windowCall(call, false)] };

export const windowSpreadWebgpu: WebgpuRule<SpreadAttrs> = { calls: (call) => [windowCall(call, true)] };

function windowCall({ inputs: [x], outputs: [out], attrs }: GpuCall<WindowAttrs>, isTransposed: boolean): KernelCall {
  const isVector = x.shape[3] % 4 === 0;
  const width = isVector ? 4 : 1;
  const size = sizeOf(out.shape) / width;
  return {
    kernel: windowKernel,
    constants: { Vector: isVector ? "vec4<f32>" : "f32", IS_TRANSPOSED: isTransposed },
    params: {
      size,
      channels: x.shape[3] / width,
      weight: attrs.weight,
      input: [x.shape[1], x.shape[2]],
      out: [out.shape[1], out.shape[2]],
      window: attrs.window,
      stride: attrs.stride,
      padding: attrs.padding,
    },
    bindings: [x, out],
    grid: { threads: size },
  };
}
