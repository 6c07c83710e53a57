// The divergence of two diagonal normal distributions.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";

/** A diagonal normal distribution by tensors that broadcast. */
export interface Normal {
  /** The mean μ. */
  readonly mean: Tensor;
  /** log σ². */
  readonly logVariance: Tensor;
}

/**
 * KL(q ‖ p) of each element, in nats: ½ (e^d − 1 − d + (μ_q − μ_p)² / σ_p²) with d = log σ_q² − log σ_p². Written so that nothing
 * cancels but d's own first order when the variances are close.
 */
export function klNormal(q: Normal, p: Normal): Tensor {
  expectArguments("klNormal", { q, p });
  return klOf(q.mean.sub(p.mean), q.logVariance, p.logVariance);
}

/** `klNormal` by the difference of the means. */
export function klOf(difference: Tensor, logVariance: Tensor, modelLogVariance: Tensor): Tensor {
  const d = logVariance.sub(modelLogVariance);
  return d.expm1().sub(d).add(difference.square().mul(modelLogVariance.neg().exp())).mul(0.5);
}
