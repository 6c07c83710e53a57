// An exponential moving average of a module's parameters. It gives better samples than the parameters themselves.

import { wrongArgument } from "@pkg/tensor";
import { type Ema, movingAverage } from "./movingAverage.ts";

/**
 * An average of a module: average ← d · average + (1 − d) · parameter, with d = min(decay, (1 + n) / (10 + n)) after n updates. The growing
 * d forgets the random start, as TensorFlow's ExponentialMovingAverage with num_updates does.
 * @param decay the weight of the past, in [0, 1)
 * @throws Error for another decay
 */
export function ema(module: object, decay = 0.9999): Ema {
  if (!(typeof decay === "number" && decay >= 0 && decay < 1))
    throw wrongArgument("ema", "decay", decay, "a number in [0, 1)");
  return movingAverage("ema", module, (updates) => 1 - Math.min(decay, (1 + updates) / (10 + updates)));
}

/**
 * An average of a module over a fixed share of its training: average ← β average + (1 − β) · parameter, with β = (1 − 1/t)^(γ+1) at update
 * t. After t updates it is the mean of the parameters with weights in proportion to τ^γ (Karras et al. 2024, EDM2, section 3.1, eq. 127).
 * `postHocEma` makes averages of other lengths of two of these.
 * @param sigmaRel the length: the standard deviation of the weights over τ, relative to t, in (0, 1/√12]. 0.05 to 0.1 is usual
 * @throws Error for another length
 */
export function powerEma(module: object, sigmaRel: number): Ema {
  const gamma = powerGamma(sigmaRel, "powerEma");
  return movingAverage("powerEma", module, (updates) => 1 - (1 - 1 / (updates + 1)) ** (gamma + 1));
}

/** The length of the average of all parameters alike, γ = 0. */
const LONGEST = 1 / Math.sqrt(12);

/**
 * γ of a length: σ_rel² = (γ + 1) / ((γ + 2)² (γ + 3)) (Karras et al. 2024, EDM2, eq. 123).
 * @param sigmaRel in (0, 1/√12]
 * @param name of the caller, for errors
 * @param argument the caller's, for errors
 * @throws Error for another length
 */
export function powerGamma(sigmaRel: number, name = "powerGamma", argument = "sigmaRel"): number {
  if (!(typeof sigmaRel === "number" && sigmaRel > 0 && sigmaRel <= LONGEST))
    throw wrongArgument(name, argument, sigmaRel, `a number in (0, ${LONGEST.toFixed(4)}]`);
  // The variance falls in γ, and is below 1 / (γ + 2)².
  let [low, high] = [0, 1 / sigmaRel];
  for (let k = 0; k < 100; k++) {
    const middle = (low + high) / 2;
    if ((middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > sigmaRel ** 2) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
