// Implicit score matching: no score of the data needed, but the divergence of the model's, exact or estimated.

import { type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { exactDivergence, type FieldDivergence, hutchinsonDivergence } from "../../likelihood/divergence.ts";
import type { Score } from "../../model/score.ts";
import { sumPerSample } from "../perSample.ts";

/**
 * E[tr ∇s(x) + ½‖s(x)‖²] (Hyvärinen 2005, theorem 1), the mean over the batch of sums over elements: explicit score matching less
 * ½ E‖∇log p‖², which does not depend on s, for p that falls to 0 at infinity (data in a box, as images are, do not).
 * Costs d pullbacks. There is no lower bound on a finite set of data, on which a score may fall ever more steeply: add noise to
 * the data, or use `denoisingScoreMatching`.
 * @param x [batch, ...], drawn from p
 * @returns []
 * @throws ShapeError when s(x) is not of x's shape
 * @example
 * ```ts
 * import { implicitScoreMatching } from "@pkg/diffusion";
 * import { cpu, type Tensor, tensor } from "@pkg/tensor";
 *
 * const x = tensor([[1], [-1]], { backend: cpu() });
 * const score = (x: Tensor) => x.neg(); // that of N(0, 1)
 * console.log(await implicitScoreMatching(score, x).item()); // -0.5
 * console.log(await implicitScoreMatching((x) => x.mul(-2), x).item()); // 0
 * ```
 */
export function implicitScoreMatching(score: Score, x: Tensor): Tensor {
  expectArguments("implicitScoreMatching", { score, x });
  return tidy(() => objective(exactDivergence(score, x)));
}

/**
 * E[vᵀ ∇(vᵀ s(x)) + ½‖s(x)‖²] with E[v vᵀ] = I: sliced score matching with reduced variance (SSM-VR, Song et al. 2019), which
 * is implicit score matching with Hutchinson's estimate of the trace. Costs a pullback a probe.
 * @param x [batch, ...], drawn from p
 * @param probes from `drawProbes`
 * @returns [], the mean over the batch of sums over elements
 * @throws Error without probes; ShapeError when one, or s(x), is not of x's shape
 */
export function slicedScoreMatchingVR(score: Score, x: Tensor, probes: readonly Tensor[]): Tensor {
  expectArguments("slicedScoreMatchingVR", { score, x, probes });
  return tidy(() => objective(hutchinsonDivergence(score, x, probes)));
}

function objective({ value, divergence }: FieldDivergence): Tensor {
  return divergence.add(sumPerSample(value.square()).mul(0.5)).mean();
}
