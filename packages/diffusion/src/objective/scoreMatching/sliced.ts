// Sliced score matching: scores are compared along random directions.

import { type Tensor, tidy, vjp } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { checkProbes, meanOf } from "../../likelihood/divergence.ts";
import { checkField, type Score } from "../../model/score.ts";
import { sumPerSample } from "../perSample.ts";

/**
 * E[vᵀ ∇(vᵀ s(x)) + ½(vᵀ s(x))²] (SSM, Song et al. 2019), the mean over batch and probes: with E[v vᵀ] = I its expectation is
 * that of implicit score matching. Costs a pullback a probe. `slicedScoreMatchingVR` has ½‖s‖² for the second term, the expectation
 * of it.
 * @param x [batch, ...], drawn from p
 * @param probes from `drawProbes`
 * @returns []
 * @throws Error without probes; ShapeError when one, or s(x), is not of x's shape
 */
export function slicedScoreMatching(score: Score, x: Tensor, probes: readonly Tensor[]): Tensor {
  expectArguments("slicedScoreMatching", { score, x, probes });
  return tidy(() => {
    checkProbes("slicedScoreMatching", probes, x);
    const { value, pullback } = vjp((y) => checkField("slicedScoreMatching", score(y), y), [x]);
    const terms = probes.map((v) => {
      const curvature = sumPerSample(pullback(v)[0].mul(v));
      return curvature.add(sumPerSample(value.mul(v)).square().mul(0.5)).mean();
    });
    return meanOf(terms);
  });
}
