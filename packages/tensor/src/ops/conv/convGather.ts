// Which pixels meet under which tap, as the kernels of convolutions on the GPU find them.

import type { KernelCall } from "../../backends/webgpu/rule.ts";
import type { View } from "../../op.ts";
import type { Shape } from "../../shape.ts";
import type { ConvAttrs } from "./convShape.ts";

/** Which pixel of an image lies under a tap of a pixel of the result: (pixel · scale + shift + tap · step) / spread. */
export interface Gather {
  readonly image: View;
  /** The shape of the tensor whose pixels are walked. */
  readonly walked: Shape;
  readonly scale: readonly number[];
  readonly shift: readonly number[];
  readonly step: readonly number[];
  /** Input dilation: the distance between pixels of the image, with zeros in between. */
  readonly spread: readonly number[];
}

/** From the pixels of a convolution's result to those of its image. */
export function forward(image: View, walked: Shape, { stride, padding, dilation }: ConvAttrs): Gather {
  return { image, walked, scale: stride, shift: padding.map(([before]) => -before), step: dilation, spread: [1, 1] };
}

/** Back, from the pixels of the image to those of the result, which stand a stride apart. */
export function backward(image: View, walked: Shape, { stride, padding, dilation }: ConvAttrs): Gather {
  const [shift, step] = [padding.map(([before]) => before), dilation.map((n) => -n)];
  return { image, walked, scale: [1, 1], shift, step, spread: stride };
}

/** The parameters from which the kernels find pixels. */
export function placing({ image, walked, scale, shift, step }: Gather): Required<KernelCall>["params"] {
  return {
    size: walked.slice(1, 3),
    image_size: image.shape.slice(1, 3),
    scale,
    shift,
    step,
    image_offset: image.offset,
    image_strides: pixelStrides(image),
  };
}

/** Strides of batch, rows and columns. */
export function pixelStrides({ shape, strides }: View): number[] {
  return [0, 1, 2].map((axis) => (shape[axis] === 1 ? 0 : strides[axis]));
}
