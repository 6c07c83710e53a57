// The affine map of the last axis.

import type { Tensor } from "@pkg/tensor";
import { expectCount, expectInit, fanInUniform, type InitOptions, zeroInit } from "../module/init.ts";

/** The affine map y = x W + b of the last axis. */
export interface Linear {
  /** [inputs, outputs] */
  readonly weight: Tensor;
  /** [outputs] */
  readonly bias?: Tensor;
  /** [..., inputs] → [..., outputs] */
  forward(x: Tensor): Tensor;
}

/**
 * An affine layer. W and b are drawn by `fanInUniform`.
 * @param options `bias: false` leaves out b; `zero: true` starts at y = 0
 * @throws Error for counts that are not positive integers
 */
export function linear(
  inputs: number,
  outputs: number,
  options: InitOptions & { readonly bias?: boolean; readonly zero?: boolean },
): Linear {
  expectCount("linear", "inputs", inputs);
  expectCount("linear", "outputs", outputs);
  expectInit("linear", options);
  const { bias = true, zero = false, ...init } = options;
  const make = (shape: readonly number[]) => (zero ? zeroInit(shape, init) : fanInUniform(shape, inputs, init));
  const layer: Linear = {
    weight: make([inputs, outputs]),
    ...(bias && { bias: make([outputs]) }),
    forward: (x) => x.matmul(layer.weight, { bias: layer.bias }),
  };
  return layer;
}
