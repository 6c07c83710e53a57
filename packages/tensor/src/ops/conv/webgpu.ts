// Convolutions on WebGPU: implicit GEMM, in tiles on GPUs and straight on software adapters.

import directKernel from "@pkg/kernels/convolution/conv2d_direct.wgsl";
import tiledKernel from "@pkg/kernels/convolution/conv2d_tiled.wgsl";
import weightDirectKernel from "@pkg/kernels/convolution/conv2d_weight_direct.wgsl";
import weightTiledKernel from "@pkg/kernels/convolution/conv2d_weight_tiled.wgsl";
import placingLibrary from "@pkg/kernels/convolution/placing.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import { type Layout, sizeOf } from "../../shape.ts";
import { halved } from "../matmul/half.ts";
import type { Product } from "../matmul/product.ts";
import { type MatrixProduct, matrixCalls } from "../matmul/subgroupMatrices.ts";
import {
  inShares,
  reader,
  type TiledKernel,
  type Tiling,
  tileConstants,
  tileCount,
  tileLibrary,
  tilingFor,
  writer,
} from "../matmul/tiles.ts";
import { backward, forward, type Gather, pixelStrides, placing } from "./convGather.ts";
import type { ConvAttrs, InputAttrs, WeightAttrs } from "./convShape.ts";
import { hasPixelRows, narrowGradient, narrowImage, narrowResult, suitsNarrow } from "./im2col.ts";

const tiledLibrary = tileLibrary + placingLibrary;

export const convWebgpu: WebgpuRule<ConvAttrs> = { calls: (call) => convCalls(call), takes: hasContiguousChannels };

export const convInputWebgpu: WebgpuRule<InputAttrs> = {
  calls: (call) => inputCalls(call),
  takes: hasContiguousChannels,
};

export const convWeightWebgpu: WebgpuRule<WeightAttrs> = {
  calls: (call) => weightCalls(call),
  takes: hasContiguousChannels,
};

/** The kernel calls of conv2d; a tuner gives the tiling, here and below. */
export function convCalls(call: GpuCall<ConvAttrs>, tiling?: Tiling): KernelCall[] {
  const { inputs, outputs, attrs } = call;
  return gathered(call, forward(inputs[0], outputs[0].shape, attrs), attrs.groups, false, tiling);
}

/** The same kernels on the gradient, dilated by the stride, under the taps in reverse. */
export function inputCalls(call: GpuCall<InputAttrs>, tiling?: Tiling): KernelCall[] {
  const { inputs, outputs, attrs } = call;
  return gathered(call, backward(inputs[0], outputs[0].shape, attrs), attrs.groups, true, tiling);
}

/** In tiles, the result's taps are separate products whose sums run over the pixels. */
export function weightCalls(given: GpuCall<WeightAttrs>, tiling?: Tiling): KernelCall[] {
  const [x, g] = given.inputs;
  const [kh, kw, m, n] = given.outputs[0].shape;
  const merged = { batches: 1, m, n, k: sizeOf(g.shape.slice(0, 3)), runs: 1 };
  const product = { ...merged, batches: kh * kw };
  if (!tiling && given.attrs.groups === 1) {
    if (suitsNarrow(product, m, kh * kw, { ...merged, m: kh * kw * m }, given.target) && hasPixelRows(g)) {
      return narrowImage(given, forward(x, g.shape, given.attrs), g, [kh, kw]);
    }
    if (suitsNarrow(product, n, kh * kw, { ...merged, n: kh * kw * n }, given.target) && hasPixelRows(x)) {
      return narrowGradient(given, x, backward(g, x.shape, given.attrs), [kh, kw]);
    }
  }
  const { rounding, call } = halved(given);
  const byMatrices = !tiling && given.attrs.groups === 1 ? matrixCalls(call, weightProduct(call)) : null;
  return [...rounding, ...(byMatrices ?? pixelSums(call, tiling))];
}

/** For subgroup matrices: the image's pixels are the terms, and each tap is a product of its own. */
function weightProduct({ inputs: [x, g], outputs: [out], attrs }: GpuCall<WeightAttrs>): MatrixProduct {
  const [kh, kw, m, n] = out.shape;
  return {
    product: { batches: kh * kw, m, n, k: sizeOf(g.shape.slice(0, 3)), runs: 1 },
    a: x,
    aIsTransposed: true,
    aBatch: 0,
    placing: placing(forward(x, g.shape, attrs)),
    taps: [kh, kw],
    tapsAreBatches: true,
    b: g,
    bIsTransposed: false,
    bStep: n,
    bTap: 0,
    bBatch: 0,
    bias: undefined,
    biasStrides: [0, 0, 0],
    biasBatch: 0,
  };
}

/** For subgroup matrices: the sum over taps, with the image's pixels as rows. */
function tapProduct({ inputs }: GpuCall<ConvAttrs>, gather: Gather, isTransposed: boolean): MatrixProduct {
  const [a, b, bias] = inputs;
  const [kh, kw, channels, outChannels] = b.shape;
  const [n, k] = isTransposed ? [channels, outChannels] : [outChannels, channels];
  return {
    product: { ...productOf(gather, [kh, kw], n, k), batches: 1 },
    a,
    aIsTransposed: false,
    aBatch: 0,
    placing: placing(gather),
    taps: [kh, kw],
    tapsAreBatches: false,
    b,
    bIsTransposed: isTransposed,
    bStep: outChannels,
    bTap: channels * outChannels,
    bBatch: 0,
    bias,
    biasStrides: bias ? pixelStrides(bias) : [0, 0, 0],
    biasBatch: 0,
  };
}

function pixelSums(call: GpuCall<WeightAttrs>, given?: Tiling): KernelCall[] {
  const { inputs, outputs, attrs, target } = call;
  const [x, g] = inputs;
  const [kh, kw, m, outChannels] = outputs[0].shape;
  const { groups } = attrs;
  const n = outChannels / groups;
  const isAligned = outChannels % 4 === 0 && (groups === 1 || n % 4 === 0);
  const constants = {
    ...reader("Image", "image4", "image", isImageAligned(x, m, groups), target.half),
    ...reader("Gradient", "g4", "g", isAligned, target.half),
    ...writer(isAligned),
  };
  const [batch] = g.shape;
  const pixels = batch * g.shape[1] * g.shape[2];
  const params = { m, n, taps: [kh, kw], ...placing(forward(x, g.shape, attrs)) };
  const product = { batches: kh * kw, m, n, k: pixels, runs: 1 };
  const tiling =
    given ?? chosen({ name: "conv2dWeight", text: weightTiledKernel + tiledLibrary }, product, call, pixelSums);
  if (!tiling) {
    const threads = kh * kw * Math.ceil(m / 8) * groups * Math.ceil(n / 4);
    return [
      {
        kernel: weightDirectKernel,
        library: placingLibrary,
        constants,
        params: { ...params, groups, batch },
        bindings: [x, g, outputs[0]],
        grid: { threads },
      },
    ];
  }
  return inShares(call, tiling, (into) => ({
    kernel: weightTiledKernel,
    library: tiledLibrary,
    constants: { ...constants, ...tileConstants(tiling.tile, target) },
    params: { ...params, pixels, shares: tiling.shares, share: tiling.share },
    bindings: [x, g, into],
    grid: { workgroups: tileCount(product, tiling) },
  }));
}

/** A sum over taps and channels of an image: both the convolution and its input's cotangent. */
function gathered(
  given: GpuCall<ConvAttrs>,
  gather: Gather,
  groups: number,
  isTransposed: boolean,
  tiling?: Tiling,
): KernelCall[] {
  const [image, w] = given.inputs;
  const [kh, kw, channels, outChannels] = w.shape;
  const [n, c] = isTransposed ? [channels, outChannels] : [outChannels, channels];
  const merged = { batches: 1, m: sizeOf(image.shape.slice(0, 3)), n: kh * kw * n, k: c, runs: 1 };
  const product = productOf(gather, [kh, kw], n, c);
  const mayBeNarrow = !tiling && groups === 1 && hasPixelRows(image);
  if (mayBeNarrow && suitsNarrow(product, n, kh * kw, merged, given.target)) {
    return narrowResult(given, gather, w, [kh, kw], isTransposed, given.inputs[2]);
  }
  const { rounding, call } = halved(given);
  const rounded = { ...gather, image: call.inputs[0] };
  const isPlain = groups === 1 && gather.spread.every((n) => n === 1);
  const byMatrices = !tiling && isPlain ? matrixCalls(call, tapProduct(call, rounded, isTransposed)) : null;
  return [...rounding, ...(byMatrices ?? tapSums(call, rounded, groups, isTransposed, tiling))];
}

/**
 * With input dilation, pixels of the result that are equal modulo the dilation meet the same taps, a part of all. They are products of
 * their own, in one dispatch.
 */
function productOf({ walked, spread }: Gather, [kh, kw]: readonly [number, number], n: number, k: number): Product {
  const [batch, ...size] = walked;
  const pixels = [0, 1].reduce((count, axis) => count * Math.ceil(size[axis] / spread[axis]), batch);
  const batches = spread[0] * spread[1];
  return { batches, m: pixels, n, k, runs: Math.ceil((kh * kw) / batches) };
}

function tapSums(
  call: GpuCall<ConvAttrs>,
  gather: Gather,
  groups: number,
  isTransposed: boolean,
  given?: Tiling,
): KernelCall[] {
  const { inputs, outputs, target } = call;
  const [, w] = inputs;
  const [kh, kw, channels, outChannels] = w.shape;
  const inGroup = outChannels / groups;
  const [n, c] = isTransposed ? [channels, inGroup] : [inGroup, channels];
  const product = productOf(gather, [kh, kw], n, c);
  const { m: pixels, batches: classes } = product;
  const every = gather.spread.map((n, k) => n / commonDivisor(n, Math.abs(gather.step[k])));
  const bias = inputs[2] as View | undefined;
  const [batch] = gather.walked;
  const isWeightAligned = outChannels % 4 === 0 && (groups === 1 || inGroup % 4 === 0);
  const constants = {
    ...reader("Image", "image4", "image", isImageAligned(gather.image, c, groups), target.half),
    ...reader("Weight", "weight4", "weight", isWeightAligned, target.half),
    ...reader("Bias", "bias4", "bias", bias ? isImageAligned(bias, n, groups) : isWeightAligned),
    ...writer(n % 4 === 0),
    WEIGHT_IS_TRANSPOSED: isTransposed,
    SPREAD_Y: `${gather.spread[0]}u`,
    SPREAD_X: `${gather.spread[1]}u`,
    TAP_Y: `${every[0]}u`,
    TAP_X: `${every[1]}u`,
    HAS_BIAS: bias !== undefined,
  };
  const params = {
    pixels,
    n,
    c,
    taps: [kh, kw],
    ...placing(gather),
    weight_step: outChannels,
    weight_tap: channels * outChannels,
    bias_offset: bias?.offset ?? 0,
    bias_strides: bias ? pixelStrides(bias) : [0, 0, 0],
  };
  const tiling =
    given ??
    chosen(
      { name: isTransposed ? "conv2dInput" : "conv2d", text: tiledKernel + tiledLibrary },
      product,
      call,
      (other, tile) => tapSums(other, gather, groups, isTransposed, tile),
    );
  if (!tiling) {
    const threads = classes * Math.ceil(pixels / 8) * groups * Math.ceil(n / 4);
    return [
      {
        kernel: directKernel,
        library: placingLibrary,
        constants: { ...constants, C_IS_RAGGED: c % 4 !== 0 },
        params: { ...params, groups, weight_group: inGroup },
        bindings: [gather.image, w, bias ?? w, outputs[0]],
        grid: { threads },
      },
    ];
  }
  return inShares(call, tiling, (into) => ({
    kernel: tiledKernel,
    library: tiledLibrary,
    constants: {
      ...constants,
      ...tileConstants(tiling.tile, target),
      C_IS_RAGGED: c % tiling.tile.tileK !== 0,
      BIAS_VARIES: bias !== undefined && pixelStrides(bias).some((stride) => stride !== 0),
    },
    params: { ...params, batch, shares: tiling.shares },
    bindings: [gather.image, w, bias ?? w, into],
    grid: { workgroups: tileCount(product, tiling) },
  }));
}

/** Groups are rare and their products small: they always go straight. */
function chosen<Attrs extends ConvAttrs>(
  kernel: TiledKernel,
  product: Product,
  call: GpuCall<Attrs>,
  calls: (call: GpuCall<Attrs>, tiling: Tiling) => KernelCall[],
): Tiling | null {
  if (call.attrs.groups !== 1) return null;
  return tilingFor(kernel, product, call.target, (temporary, tiling) => calls({ ...call, temporary }, tiling));
}

/** Whether any four channels from a multiple of four on can be read at once. */
function isImageAligned(image: View, channels: number, groups: number): boolean {
  return [image.offset, ...pixelStrides(image), groups === 1 ? 0 : channels].every((n) => n % 4 === 0);
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}

/** The kernels find pixels of images and biases by strides; only the channels have to be neighbours. */
function hasContiguousChannels({ shape, strides }: Layout, index: number): boolean {
  return index !== 1 && (strides[3] === 1 || shape[3] === 1);
}
