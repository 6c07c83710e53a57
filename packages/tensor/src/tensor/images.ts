// Methods of Tensor for images [batch, height, width, channels]: convolution, upsampling, pooling.

import { expectTensor, optionsOf, wrongArgument } from "../argument.ts";
import { type BiasOptions, type ConvOptions, convAttrs, convShape } from "../ops/conv/convShape.ts";
import * as ops from "../ops/index.ts";
import type { Slice } from "../ops/layout/views.ts";
import { formatShape, ShapeError } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { toTensor } from "./operand.ts";
import { Products } from "./products.ts";

/** How the windows of a pooling lie. Each is one number for both axes, or [down, across]. */
export interface PoolOptions {
  /** Pixels between windows. Default: the window, so that windows tile the image. */
  readonly stride?: number | readonly [number, number];
  /** Pixels of zeros on each side. Default 0. */
  readonly padding?: number | readonly [number, number];
}

/** Convolution, upsampling and pooling of [batch, height, width, channels]. */
export abstract class Images extends Products {
  /**
   * Convolution (cross-correlation, without flipping the kernel) of [batch, height, width, in] with zeros around the image:
   * → [batch, height′, width′, out], height′ = ⌊(height + padding − dilation · (kh − 1) − 1) / stride⌋ + 1.
   * @param weight [kh, kw, in / groups, out]
   * @param options `stride`, `padding`, `dilation` and `groups` as in ConvOptions; `bias` as in `matmul`
   * @throws ShapeError when shapes do not fit, or the kernel is larger than the padded image
   */
  conv2d(weight: Tensor, options: ConvOptions & BiasOptions = {}): Tensor {
    expectTensor("conv2d", "weight", weight);
    const { bias, ...geometry } = optionsOf("conv2d", options, "{ padding: 1 }");
    if (bias !== undefined) expectTensor("conv2d", "bias", bias);
    const attrs = convAttrs(this.shape, weight.shape, geometry);
    const [kh, kw, inChannels, outChannels] = weight.shape;
    const isPadded = attrs.padding.flat().some((n) => n > 0);
    const isPointwise = !isPadded && [kh, kw, ...attrs.stride, attrs.groups].every((n) => n === 1);
    if (isPointwise && this.rank === 4 && this.shape[3] === inChannels) {
      return this.matmul(weight.reshape([inChannels, outChannels]), { bias });
    }
    const operands = [this.self, weight];
    if (bias) operands.push(bias.expand(convShape("conv2d", this.shape, weight.shape, attrs)));
    return this.apply(ops.conv2d, operands, attrs)[0];
  }

  /**
   * Repeats each pixel of [batch, height, width, channels] down and across: → [batch, height · factor, width · factor, channels].
   * @param factor a positive integer, or [down, across]
   * @throws ShapeError unless there are four axes
   */
  upsampleNearest(factor: number | readonly [number, number]): Tensor {
    const window = pair("upsampleNearest", "factor", factor);
    if (this.rank !== 4) {
      throw new ShapeError(`upsampleNearest: shape ${formatShape(this.shape)}, want [batch, height, width, channels]`);
    }
    const size = [this.shape[1] * window[0], this.shape[2] * window[1]] as const;
    return this.only(ops.windowSpread, { window, stride: window, padding: [0, 0], weight: 1, size });
  }

  /**
   * The mean over each window of [batch, height, width, channels]. Zeros of the padding count as pixels.
   * @param window pixels, or [down, across]; the stride by default too
   * @throws ShapeError unless there are four axes and the windows fit
   */
  averagePool(window: number | readonly [number, number], options: PoolOptions = {}): Tensor {
    const windows = windowsOf("averagePool", window, options);
    return this.only(ops.windowSum, { ...windows, weight: 1 / (windows.window[0] * windows.window[1]) });
  }

  /**
   * The largest element of each window of [batch, height, width, channels]. Padding is never the largest.
   * It takes one pass per pixel of the window, so it suits small windows.
   * @param window pixels, or [down, across]; the stride by default too
   * @throws ShapeError unless there are four axes and the windows fit
   */
  maxPool(window: number | readonly [number, number], options: PoolOptions = {}): Tensor {
    if (this.rank !== 4) {
      throw new ShapeError(`maxPool: shape ${formatShape(this.shape)}, want [batch, height, width, channels]`);
    }
    const [, height, width] = this.shape;
    const windows = windowsOf("maxPool", window, options);
    const [down, across] = ops.windowCounts("maxPool", [height, width], windows);
    const around = [0, ...windows.padding, 0].map((n) => [n, n] as const);
    const inside = toTensor("maxPool", 1, this).expand([1, height, width, 1]).pad(around).cast("bool");
    const padded = windows.padding.some((n) => n > 0)
      ? inside.where(this.pad(around), Number.NEGATIVE_INFINITY)
      : this.self;
    const every = (first: number, count: number, step: number): Slice => [first, first + (count - 1) * step + 1, step];
    const places = Array.from({ length: windows.window[0] * windows.window[1] }, (_, k) => {
      const rows = every(Math.floor(k / windows.window[1]), down, windows.stride[0]);
      return padded.slice(null, rows, every(k % windows.window[1], across, windows.stride[1]));
    });
    return places.reduce((a, b) => a.maximum(b));
  }
}

/** One number for both axes of an image, or [down, across]. */
function pair(name: string, argument: string, value: number | readonly [number, number]): readonly [number, number] {
  if (typeof value === "number") return [value, value];
  if (!Array.isArray(value) || value.length !== 2) {
    throw wrongArgument(name, argument, value, "a number, or [down, across]");
  }
  return value;
}

/** Window, stride and padding as pairs, with their defaults. */
function windowsOf(name: string, window: number | readonly [number, number], options: PoolOptions): ops.Windows {
  const { stride = window, padding = 0 } = optionsOf(name, options, "{ stride: 2, padding: 1 }");
  return {
    window: pair(name, "window", window),
    stride: pair(name, "stride", stride),
    padding: pair(name, "padding", padding),
  };
}
