// Normalisation of the last axis by its mean and variance.

import { ones, optionsOf, type Tensor, zeros } from "@pkg/tensor";
import { expectChannels, expectCount, expectPositive, type InitOptions, zeroInit } from "../module/init.ts";
import { kept } from "../module/kept.ts";

/** y = (x − mean) / √(variance + ε) · scale + bias along the last axis (Ba et al. 2016, arXiv:1607.06450). */
export interface LayerNorm {
  /** [channels]; absent where nothing is learned. */
  readonly scale?: Tensor;
  /** [channels]; absent without a bias. */
  readonly bias?: Tensor;
  /** [..., channels] → the same. @throws Error for other channels */
  forward(x: Tensor): Tensor;
}

/**
 * A layer normalisation that starts with scale 1 and bias 0.
 * @param options `epsilon` is 1e-5 by default; `affine: false` learns nothing, as adaptive norms want it; `bias: false` leaves out
 * the bias
 * @throws Error unless `channels` is a positive integer and `epsilon` a positive number
 */
export function layerNorm(
  channels: number,
  options: Pick<InitOptions, "backend"> & {
    readonly epsilon?: number;
    readonly affine?: boolean;
    readonly bias?: boolean;
  } = {},
): LayerNorm {
  expectCount("layerNorm", "channels", channels);
  const {
    epsilon = 1e-5,
    affine = true,
    bias = affine,
    backend,
  } = optionsOf("layerNorm", options, "{ epsilon: 1e-6 }");
  expectPositive("layerNorm", "epsilon", epsilon);
  const layer: LayerNorm = {
    ...(affine && { scale: ones([channels], { backend }).contiguous() }),
    ...(affine && bias && { bias: zeroInit([channels], { backend }) }),
    forward(x) {
      expectChannels("layerNorm", x, channels);
      return x.layerNorm(
        layer.scale ?? kept(x.backend, `ones ${channels}`, () => ones([channels], { backend: x.backend }).contiguous()),
        layer.bias ??
          kept(x.backend, `zeros ${channels}`, () => zeros([channels], { backend: x.backend }).contiguous()),
        { epsilon },
      );
    },
  };
  return layer;
}
