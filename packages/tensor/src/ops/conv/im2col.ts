// im2col and col2im on WebGPU, for convolutions with few channels on one side: one product over the channels of all taps fills the
// tiles that a product per tap would leave mostly empty. The first and the last convolution of a network on images are of this kind.

import patchesKernel from "@pkg/kernels/convolution/patches.wgsl";
import patchesSumKernel from "@pkg/kernels/convolution/patches_sum.wgsl";
import placingLibrary from "@pkg/kernels/convolution/placing.wgsl";
import type { GpuCall, GpuTarget, KernelCall } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { collapse, contiguousLayout, type Shape, sizeOf } from "../../shape.ts";
import { elementwiseCall } from "../elementwise/webgpu.ts";
import type { Product } from "../matmul/product.ts";
import { expectedTime, PASS_COST, SHARE_COST } from "../matmul/tiles.ts";
import { matmulCalls } from "../matmul/webgpu.ts";
import { type Gather, pixelStrides, placing } from "./convGather.ts";

type Scratch = Pick<GpuCall<unknown>, "target" | "temporary">;
type Size = readonly [number, number];

const NARROW = 4;

/**
 * Whether im2col pays: a product with `taps` times the few channels, and a pass that writes or reads the patches.
 * @param product without im2col
 */
export function suitsNarrow(product: Product, few: number, taps: number, merged: Product, target: GpuTarget): boolean {
  if (few > NARROW || taps === 1) return false;
  const [apart, together] = [product, merged].map((one) => expectedTime(one, target));
  const elements = taps * few * Math.max(merged.m, merged.k);
  return apart !== null && together !== null && together + PASS_COST + SHARE_COST * elements < apart;
}

/**
 * out[p, n] = Σ_tap (image · weight)[place(p, tap), tap, n] + bias[p, n], for few n: the products of all taps at each pixel of the
 * image, then col2im.
 * @param weight [taps · n, c] where it is transposed, else [taps, c, n]
 */
export function narrowResult(
  call: Scratch & { readonly outputs: readonly View[] },
  gather: Gather,
  weight: View,
  taps: Size,
  isTransposed: boolean,
  bias: View | undefined,
): KernelCall[] {
  const [out] = call.outputs;
  const [n, c, count] = [out.shape[3], gather.image.shape[3], taps[0] * taps[1]];
  const image = pixelRows(gather.image);
  const parts = scratch(call, [image.shape[0], count * n]);
  const turning: KernelCall[] = [];
  let matrix: View = { ...weight, shape: [c, count * n], strides: [1, c] };
  if (!isTransposed) {
    const turned = scratch(call, [c, count, n]);
    turning.push(copying({ ...weight, shape: [c, count, n], strides: [n, c * n, 1] }, turned));
    matrix = { ...turned, ...contiguousLayout([c, count * n]) };
  }
  const { image_offset, image_strides, ...placed } = placing(gather);
  const elements = sizeOf(out.shape);
  return [
    ...turning,
    ...matmulCalls({ ...call, attrs: undefined, inputs: [image, matrix], outputs: [parts] }),
    {
      kernel: patchesSumKernel,
      constants: { ...spreading(gather), HAS_BIAS: bias !== undefined },
      params: {
        ...placed,
        elements,
        c: n,
        taps,
        bias_offset: bias?.offset ?? 0,
        bias_strides: bias ? pixelStrides(bias) : [0, 0, 0],
      },
      bindings: [parts, bias ?? parts, out],
      grid: { threads: elements },
    },
  ];
}

/** out[tap, m, n] = Σ_p image[place(p, tap), m] · g[p, n], for few m: im2col of the image. */
export function narrowImage(
  call: Scratch & { readonly outputs: readonly View[] },
  gather: Gather,
  g: View,
  taps: Size,
): KernelCall[] {
  const rows = taps[0] * taps[1] * gather.image.shape[3];
  const [patches, laying] = patchesOf(call, gather, taps);
  const [pixels, step] = patches.shape;
  const inputs = [{ ...patches, shape: [rows, pixels], strides: [1, step] }, pixelRows(g)];
  const outputs = [{ ...call.outputs[0], ...contiguousLayout([rows, g.shape[3]]) }];
  return [laying, ...matmulCalls({ ...call, attrs: undefined, inputs, outputs })];
}

/** The same for few n: im2col of g. @param gather from the image's pixels to those of g */
export function narrowGradient(
  call: Scratch & { readonly outputs: readonly View[] },
  image: View,
  gather: Gather,
  taps: Size,
): KernelCall[] {
  const [m, n, count] = [image.shape[3], gather.image.shape[3], taps[0] * taps[1]];
  const [patches, laying] = patchesOf(call, gather, taps);
  const [pixels, row] = patches.shape;
  const { shape, strides, ...rows } = pixelRows(image);
  const inputs = [{ ...rows, shape: [m, pixels], strides: [strides[1], strides[0]] }, patches];
  const sums = scratch(call, [m, row]);
  const turned = { ...sums, shape: [count, m, n], strides: [n, row, 1] };
  return [
    laying,
    ...matmulCalls({ ...call, attrs: undefined, inputs, outputs: [sums] }),
    copying(turned, { ...call.outputs[0], ...contiguousLayout([count, m, n]) }),
  ];
}

/** Whether the pixels of an image, whatever its axes are, stand a step apart. */
export function hasPixelRows(view: View): boolean {
  return pixelAxis(view).shape.length <= 1;
}

/** An image as [pixels, channels]. */
function pixelRows(view: View): View {
  const { shape, strides } = pixelAxis(view);
  return { ...view, shape: [shape[0] ?? 1, view.shape[3]], strides: [strides[0] ?? 0, 1] };
}

function pixelAxis({ shape, strides }: View): Pick<View, "shape" | "strides"> {
  return collapse([{ shape: shape.slice(0, 3), strides: strides.slice(0, 3), offset: 0 }])[0];
}

/** im2col: [pixels, taps · channels], each row padded to whole quads, and the call that makes it. */
function patchesOf(call: Scratch, gather: Gather, taps: Size): [View & Temporary, KernelCall] {
  const c = gather.image.shape[3];
  const row = Math.ceil((taps[0] * taps[1] * c) / 4);
  const pixels = sizeOf(gather.walked.slice(0, 3));
  const patches = scratch(call, [pixels, 4 * row]);
  const laying = {
    kernel: patchesKernel,
    library: placingLibrary,
    constants: spreading(gather),
    params: { quads: pixels * row, row, c, taps, ...placing(gather) },
    bindings: [gather.image, patches],
    grid: { threads: pixels * row },
  };
  return [patches, laying];
}

function spreading({ spread }: Gather): Record<string, string> {
  return { SPREAD_Y: `${spread[0]}u`, SPREAD_X: `${spread[1]}u` };
}

function copying(from: View, to: View): KernelCall {
  return elementwiseCall([from], to, "a");
}

function scratch({ temporary }: Scratch, shape: Shape): View & Temporary {
  return { ...temporary(sizeOf(shape)), ...contiguousLayout(shape), dtype: "float32" };
}
