// Explicit score matching: the distance from a score that is known.

import { type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { checkField, type Score } from "../../model/score.ts";
import { sumPerSample } from "../perSample.ts";

/**
 * ½ E‖s(x) − ∇log p(x)‖² (Hyvärinen 2005, eq. 2), half the Fisher divergence: the mean over the batch of the sum over elements.
 * @param trueScore ∇log p, known of an oracle alone
 * @param x [batch, ...], drawn from p
 * @returns []
 * @throws ShapeError when a score is not of x's shape
 */
export function explicitScoreMatching(score: Score, trueScore: Score, x: Tensor): Tensor {
  expectArguments("explicitScoreMatching", { score, trueScore, x });
  return tidy(() => {
    const [found, wanted] = [score, trueScore].map((s) => checkField("explicitScoreMatching", s(x), x));
    return sumPerSample(found.sub(wanted).square()).mean().mul(0.5);
  });
}
