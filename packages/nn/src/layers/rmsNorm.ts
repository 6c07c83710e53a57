// Normalisation of the last axis by its root mean square.

import { ones, optionsOf, type Tensor } from "@pkg/tensor";
import { expectChannels, expectCount, expectPositive, type InitOptions } from "../module/init.ts";

/** y = x / √(mean x² + ε) · scale along the last axis (Zhang & Sennrich 2019, arXiv:1910.07467). */
export interface RmsNorm {
  /** [channels]; absent where nothing is learned. */
  readonly scale?: Tensor;
  /** [..., channels] → the same. @throws Error for other channels */
  forward(x: Tensor): Tensor;
}

/**
 * A root-mean-square normalisation that starts with scale 1.
 * @param options `epsilon` is 2⁻²³ by default, float32's, as in PyTorch; `affine: false` learns nothing
 * @throws Error unless `channels` is a positive integer and `epsilon` a positive number
 */
export function rmsNorm(
  channels: number,
  options: Pick<InitOptions, "backend"> & { readonly epsilon?: number; readonly affine?: boolean } = {},
): RmsNorm {
  expectCount("rmsNorm", "channels", channels);
  const { epsilon = 2 ** -23, affine = true, backend } = optionsOf("rmsNorm", options, "{ epsilon: 1e-6 }");
  expectPositive("rmsNorm", "epsilon", epsilon);
  const layer: RmsNorm = {
    ...(affine && { scale: ones([channels], { backend }).contiguous() }),
    forward(x) {
      expectChannels("rmsNorm", x, channels);
      const normal = x.mul(x.square().mean(-1, { keepAxes: true }).add(epsilon).rsqrt());
      return layer.scale ? normal.mul(layer.scale) : normal;
    },
  };
  return layer;
}
