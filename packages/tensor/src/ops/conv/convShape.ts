// Attributes and shapes of convolutions, and which pixels meet under which tap; nothing here knows a kernel.

import { formatShape, type Shape, ShapeError } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";

/** A number for both axes, or one for y and one for x. */
export type PerAxis = number | readonly [number, number];

/** The geometry of Tensor.conv2d. Each is one number for both axes, or [y, x]. */
export interface ConvOptions {
  /** Pixels between windows. Default 1. */
  readonly stride?: PerAxis;
  /**
   * Zeros on each side, also as [[top, bottom], [left, right]]. "same" gives a result of ⌈size / stride⌉ pixels; an odd zero is
   * put at the end. Default 0.
   */
  readonly padding?: PerAxis | readonly [readonly [number, number], readonly [number, number]] | "same";
  /** Pixels between taps. Default 1. */
  readonly dilation?: PerAxis;
  /** How many groups divide the channels: each group of outputs reads one group of inputs. Default 1. */
  readonly groups?: number;
}

/** A bias that Tensor.conv2d and Tensor.matmul add in the same pass. */
export interface BiasOptions {
  /** Any shape that broadcasts to the result's, such as [out] for one number per channel. */
  readonly bias?: Tensor;
}

/** [y, x] each; padding is [[top, bottom], [left, right]]. */
export interface ConvAttrs {
  readonly stride: readonly [number, number];
  readonly padding: readonly [readonly [number, number], readonly [number, number]];
  readonly dilation: readonly [number, number];
  readonly groups: number;
}

export interface InputAttrs extends ConvAttrs {
  /** Of the convolution's image: strides leave it open. */
  readonly inputShape: Shape;
}

export interface WeightAttrs extends ConvAttrs {
  /** Height and width of the kernel. */
  readonly kernelSize: readonly [number, number];
}

/** Attributes for an image and a weight from what users write. */
export function convAttrs(x: Shape, w: Shape, options: ConvOptions): ConvAttrs {
  const { padding = 0, groups = 1 } = options;
  const [stride, dilation] = [pair(options.stride ?? 1), pair(options.dilation ?? 1)];
  const same = (k: 0 | 1): [number, number] => {
    const total = (Math.ceil(x[k + 1] / stride[k]) - 1) * stride[k] + dilation[k] * (w[k] - 1) + 1 - x[k + 1];
    return [Math.floor(Math.max(0, total) / 2), Math.ceil(Math.max(0, total) / 2)];
  };
  const [vertical, horizontal] =
    padding === "same" ? [same(0), same(1)] : pair<number | readonly [number, number]>(padding);
  return { stride, padding: [pair(vertical), pair(horizontal)], dilation, groups };
}

/**
 * The shape of image ∗ weight.
 * @throws ShapeError naming the op, both shapes and what is wrong
 */
export function convShape(op: string, x: Shape, w: Shape, { stride, padding, dilation, groups }: ConvAttrs): Shape {
  const shapes = () => `${op}: ${formatShape(x)} ∗ ${formatShape(w)}`;
  const [kh, kw, channels, outChannels] = w;
  const fits = x.length === 4 && w.length === 4 && x[3] === channels * groups && kh > 0 && kw > 0;
  if (!fits || !Number.isInteger(channels) || outChannels % groups !== 0) {
    const wanted = "[batch, height, width, in] ∗ [kh, kw, in / groups, out]";
    throw new ShapeError(`${shapes()} in ${groups} ${groups === 1 ? "group" : "groups"}, want ${wanted}`);
  }
  const isSound = [...stride, ...dilation, groups].every((n) => Number.isInteger(n) && n > 0);
  if (!isSound || !padding.flat().every((n) => Number.isInteger(n) && n >= 0)) {
    const given = `stride ${formatShape(stride)}, padding ${JSON.stringify(padding)}, dilation ${formatShape(dilation)}, groups ${groups}`;
    throw new ShapeError(`${shapes()}: ${given}, want integers from 1 on, for padding from 0 on`);
  }
  const under = [kh, kw].map((n, k) => dilation[k] * (n - 1) + 1);
  const padded = padding.map(([before, after], k) => x[k + 1] + before + after);
  if (under.some((n, k) => n > padded[k])) {
    throw new ShapeError(
      `${shapes()}: ${under.join(" × ")} pixels under the kernel of ${padded.join(" × ")} with padding, want no more than there are`,
    );
  }
  const size = padded.map((n, k) => Math.floor((n - under[k]) / stride[k]) + 1);
  return [x[0], size[0], size[1], outChannels];
}

/**
 * Visits every pair of pixels that meet under a tap, for each group: the first channel of the image's pixel, the tap's first
 * weight, the first channel of the result's pixel, as row-major indices.
 */
export function eachTap(
  [batch, height, width, inChannels]: Shape,
  [kh, kw, channels, outChannels]: Shape,
  [, outHeight, outWidth]: Shape,
  { stride, padding, dilation, groups }: ConvAttrs,
  visit: (image: number, weight: number, result: number) => void,
): void {
  const count = outChannels / groups;
  for (let b = 0; b < batch; b++) {
    for (let y = 0; y < outHeight; y++) {
      for (let x = 0; x < outWidth; x++) {
        const result = ((b * outHeight + y) * outWidth + x) * outChannels;
        for (let i = 0; i < kh; i++) {
          const row = y * stride[0] - padding[0][0] + i * dilation[0];
          if (row < 0 || row >= height) continue;
          for (let j = 0; j < kw; j++) {
            const column = x * stride[1] - padding[1][0] + j * dilation[1];
            if (column < 0 || column >= width) continue;
            const image = ((b * height + row) * width + column) * inChannels;
            const weight = (i * kw + j) * channels * outChannels;
            for (let g = 0; g < groups; g++) visit(image + g * channels, weight + g * count, result + g * count);
          }
        }
      }
    }
  }
}

function pair<Each>(value: number | readonly [Each, Each]): readonly [Each | number, Each | number] {
  return typeof value === "number" ? [value, value] : value;
}
