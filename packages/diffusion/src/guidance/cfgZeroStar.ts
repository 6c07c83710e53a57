// CFG-Zero*: classifier-free guidance of flows with the unconditional branch scaled to fit, and without the first steps.

import type { Times } from "@pkg/nn";
import { concat, Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { Model } from "../model/model.ts";
import { asColumn, perSample, sumPerSample } from "../objective/perSample.ts";
import { checkScale } from "./autoguidance.ts";
import { bothBranches, labelsOf } from "./branches.ts";

/** The strength of CFG-Zero*, and where the velocity is zero. */
export interface CfgZeroStarOptions {
  /** w of s v_u + w (v_c − s v_u): 1 for v_c alone. */
  readonly scale: number;
  /**
   * The velocity is 0 at times above this one, which leaves x as it is there. Default 0.96: the first 4 % of even steps, as its authors
   * advise; more of steps that a shift moves to the noise. 1 for none.
   */
  readonly zeroAbove?: number;
  /** The number of classes, which stands for no label in a tensor of labels. */
  readonly classes?: number;
}

/**
 * (1 − w) s v_u + w v_c with s = ⟨v_c, v_u⟩ / ‖v_u‖² of each sample, the multiple of v_u that is nearest to v_c (Fan et al. 2025, eq. 8 and
 * algorithm 1). At first, where a network's velocity is worse than none, it is 0. One call of the model with twice the batch.
 * Channels of learned variances are the conditional ones.
 * @param model predicts the velocity of a flow, "flow": s and zero are of this kind of prediction
 * @throws Error for a scale that is not finite and zeroAbove outside [0, 1]; from forward for a call without labels, or with too few or many
 */
export function cfgZeroStar(model: Model, options: CfgZeroStarOptions): Model {
  expectArguments("cfgZeroStar", { model, options });
  const { scale, zeroAbove = 0.96, classes } = options;
  checkScale("cfgZeroStar", scale);
  if (!(zeroAbove >= 0 && zeroAbove <= 1))
    throw new Error(`cfgZeroStar: zeroAbove is ${zeroAbove}, want a number in [0, 1]`);
  const guided: Model & { readonly model: Model } = {
    model, // a field, so that its parameters are found
    forward: (x, times, conditioning = {}) =>
      tidy(() => {
        labelsOf("cfgZeroStar", x, times, conditioning);
        const { conditional, unconditional, raw } = bothBranches("cfgZeroStar", model, x, times, conditioning, classes);
        const size = sumPerSample(unconditional.square());
        const isZero = size.equal(0);
        const fit = isZero.where(0, sumPerSample(conditional.mul(unconditional)).div(isZero.where(1, size)));
        const velocity = conditional.mul(scale).add(unconditional.mul(asColumn(x, fit.mul(1 - scale))));
        const kept = keptColumn(x, times, zeroAbove);
        const result = kept ? velocity.mul(kept) : velocity;
        return raw ? concat([result, raw], -1) : result;
      }),
  };
  return guided;
}

/** 1 for each sample whose velocity stays, and 0 for the others; undefined where all stay. */
function keptColumn(x: Tensor, times: Times, zeroAbove: number): Tensor | undefined {
  if (times instanceof Tensor) return asColumn(x, times.cast("float32").lessEqual(zeroAbove).cast("float32"));
  if (times.every((t) => t <= zeroAbove)) return undefined;
  return perSample(
    x,
    times.map((t) => Number(t <= zeroAbove)),
  );
}
