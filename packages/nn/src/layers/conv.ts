// The convolution layer.

import type { Tensor } from "@pkg/tensor";
import { expectCount, expectInit, fanInUniform, type InitOptions, zeroInit } from "../module/init.ts";

/** y = x ∗ W + b over height and width, channels last. */
export interface Conv2d {
  /** [kernel, kernel, inChannels, outChannels] */
  readonly weight: Tensor;
  /** [outChannels] */
  readonly bias: Tensor;
  /**
   * [batch, height, width, inChannels] → [batch, ⌈height / stride⌉, ⌈width / stride⌉, outChannels] for odd kernels
   * @param more is added to the bias, such as [batch, 1, 1, outChannels]
   */
  forward(x: Tensor, more?: Tensor): Tensor;
}

/**
 * A convolution layer with weights drawn as PyTorch's default draws them.
 * @param options kernel: its side, 3 by default, padded by half of it; `padding: "after"` pads by one at the bottom and the right alone, as
 * in DDPM's code before a stride of 2; `zero: true` starts at y = 0
 */
export function conv2d(
  inChannels: number,
  outChannels: number,
  options: InitOptions & {
    readonly kernel?: number;
    readonly stride?: number;
    readonly padding?: "around" | "after";
    readonly zero?: boolean;
  },
): Conv2d {
  expectCount("conv2d", "inChannels", inChannels);
  expectCount("conv2d", "outChannels", outChannels);
  expectInit("conv2d", options);
  const { kernel = 3, stride = 1, padding = "around", zero = false, ...init } = options;
  if (padding !== "around" && padding !== "after")
    throw new Error(`conv2d: padding is ${padding}, want around or after`);
  const after = [0, 1] as const;
  const zeros = padding === "after" ? ([after, after] as const) : kernel >> 1;
  const fanIn = kernel * kernel * inChannels;
  const make = (shape: readonly number[]) => (zero ? zeroInit(shape, init) : fanInUniform(shape, fanIn, init));
  const layer: Conv2d = {
    weight: make([kernel, kernel, inChannels, outChannels]),
    bias: make([outChannels]),
    forward: (x, more) =>
      x.conv2d(layer.weight, { stride, padding: zeros, bias: more ? more.add(layer.bias) : layer.bias }),
  };
  return layer;
}
