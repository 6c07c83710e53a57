// How fast categories are lost in continuous time: α(t), which falls from 1 at t = 0 to 0 at t = 1.

import type { Tensor } from "@pkg/tensor";

/** The probability α(t) that noise has left a value as it is, at times in [0, 1]. */
export interface Keeping {
  /** α(t) of a number. */
  at(t: number): number;
  /** α(t) of times, elementwise. */
  of(times: Tensor): Tensor;
  /** −α′(t) / (1 − α(t)), elementwise: the weight of the cross-entropy in the bound; times above 0. */
  weight(times: Tensor): Tensor;
}

/** α = 1 − t, the weight 1 / t (Sahoo et al. 2024, MDLM: its log-linear noise). */
export function linearKeeping(): Keeping {
  return { at: (t) => 1 - t, of: (times) => times.affine(-1, 1), weight: (times) => times.pow(-1) };
}

/**
 * α = 1 − sin(π/2 t) = 1 − cos(π/2 (1 − t)), the weight π/2 tan(π/2 (1 − t)) (Chang et al. 2022, MaskGIT; Shi et al. 2024, MD4). The sine
 * keeps its precision near t = 0.
 */
export function cosineKeeping(): Keeping {
  const sine = (times: Tensor) => times.mul(Math.PI / 2).sin();
  return {
    at: (t) => 1 - Math.sin((Math.PI / 2) * t),
    of: (times) => sine(times).affine(-1, 1),
    // cos(π/2 t) as sin(π/2 (1 − t)), which is 0 at t = 1.
    weight: (times) =>
      sine(times.affine(-1, 1))
        .div(sine(times))
        .mul(Math.PI / 2),
  };
}
