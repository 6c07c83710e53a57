// An update in Tensor methods, parameter by parameter. Not AdamW's, which is one op.

import { type Tensor, tidy } from "@pkg/tensor";
import type { UpdateRule, UpdateTime } from "./optimizer.ts";

/**
 * The next value of a parameter, then those of what is kept of it.
 * @param values the parameter, and what is kept of it
 * @param gradient clipped, and that of the loss itself
 * @param k the parameter's index
 */
export type NextValues = (values: readonly Tensor[], gradient: Tensor, time: UpdateTime, k: number) => Tensor[];

/** @param kept of each parameter, in the order that `next` gets them and gives them back */
export function composedUpdate(
  parameters: readonly Tensor[],
  kept: readonly (readonly Tensor[])[],
  next: NextValues,
): UpdateRule["update"] {
  return (indices, gradients, scale, time) => {
    const control = scale();
    const factor = control.size === 1 ? control.reshape([]) : control.slice(0);
    const isSkipped = control.size === 1 ? null : factor.equal(0);
    for (const [at, k] of indices.entries()) {
      const old = [parameters[k], ...kept.map((tensors) => tensors[k])];
      const values = tidy(() =>
        next(old, gradients[at].mul(factor), time, k).map((value, n) => isSkipped?.where(old[n], value) ?? value),
      );
      for (const [n, value] of values.entries()) old[n].assign(value);
    }
  };
}
