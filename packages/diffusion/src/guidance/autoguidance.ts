// Autoguidance: a network guided by a bad version of itself.

import { concat, tidy, weightedSum } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { predictedPart } from "./predictedPart.ts";

/**
 * D_weak + w (D_strong − D_weak), both told the same: labels too, so that no network has to know how to do without them (Karras et al.
 * 2024b, eq. 3). The weak network is one trained for less long, or a smaller one. As `classifierFree`, it guides any kind of prediction
 * that is affine in the data to the same result, and either network may be guided itself. Channels of learned variances are the strong
 * network's.
 * @param options scale: w, 1 for the strong network alone
 * @throws Error for a scale that is not finite
 * @example
 * ```ts
 * import { autoguidance } from "@pkg/diffusion";
 * import { cpu, tensor } from "@pkg/tensor";
 *
 * const [strong, weak] = [3, 1].map((factor) => ({ forward: (x: typeof start) => x.mul(factor) }));
 * const start = tensor([[1]], { backend: cpu() });
 * const guided = autoguidance(strong, weak, { scale: 2 });
 * console.log(await guided.forward(start, [0]).item()); // 5
 * ```
 */
export function autoguidance(strong: Model, weak: Model, options: { readonly scale: number }): Model {
  expectArguments("autoguidance", { strong, weak, options });
  const { scale } = options;
  checkScale("autoguidance", scale);
  const guided: Model & { readonly strong: Model; readonly weak: Model } = {
    strong, // fields, so that their parameters are found
    weak,
    forward: (x, times, conditioning) =>
      tidy(() => {
        const { prediction, raw } = predictedPart(strong.forward(x, times, conditioning), x);
        const lesser = predictedPart(weak.forward(x, times, conditioning), x).prediction;
        const result = weightedSum([lesser, prediction], [1 - scale, scale]);
        return raw ? concat([result, raw], -1) : result;
      }),
  };
  return guided;
}

/** @throws Error for a scale that is not finite */
export function checkScale(name: string, scale: number): void {
  if (!Number.isFinite(scale)) throw new Error(`${name}: scale is ${scale}, want a finite number`);
}
