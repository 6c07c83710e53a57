// A step of an exponential integrator in λ: exact for estimates that are a polynomial in λ.

import { lambdaOf, type NoiseLevel } from "../../forward/level.ts";
import type { Sum } from "./step.ts";
import { weighted } from "./terms.ts";
import { exponentialMoments, interpolatoryWeights } from "./weights.ts";

/**
 * What the step takes as a polynomial in λ: x̂₀ (DPM-Solver++: x / noise moves by ∫ x̂₀ de^λ), or ε̂ (DPM-Solver: x / signal moves by
 * ∫ ε̂ de^−λ).
 */
export type Integrand = "data" | "noise";

/**
 * How the moment h ∫ e^{−h(1−s)} s ds of a slope is computed: exactly, or as B(h) / 2 with UniPC's B₁ = h ("bh1") or
 * B₂ = 1 − e^−h ("bh2"; the midpoint form of DPM-Solver). They differ by O(h²).
 */
export type SlopeMoment = "exact" | "bh1" | "bh2";

export interface ExponentialStep {
  readonly from: NoiseLevel;
  readonly to: NoiseLevel;
  /** Where the estimates are, in units of the step in λ: 0 is at `from`, 1 at `to`. */
  readonly nodes: readonly number[];
  readonly of: Integrand;
  /** Default "exact". */
  readonly slope?: SlopeMoment;
  /** η: how much more noise than the ODE the step removes, which new noise replaces; only with `of: "data"`. Default 0. */
  readonly eta?: number;
}

/**
 * With h = λ′ − λ and weights w for the nodes, of data: noise′/noise e^{−ηh} x + signal′ Σ_j w_j((1 + η) h) x̂₀_j;
 * of noise: signal′/signal x + noise′ Σ_j w_j(−h) ε̂_j (Lu et al. 2022, eq. 3.4; Lu et al. 2022b, eq. 9).
 */
export function exponentialStep(
  x: string,
  estimates: readonly string[],
  { from, to, nodes, of, slope = "exact", eta = 0 }: ExponentialStep,
): Sum {
  const h = lambdaOf(to) - lambdaOf(from);
  const [scale, size, length] =
    of === "data"
      ? [(to.noise / from.noise) * Math.exp(-eta * h), to.signal, (1 + eta) * h]
      : [to.signal / from.signal, to.noise, -h];
  const moments = exponentialMoments(length, estimates.length);
  if (slope !== "exact") moments[1] = (slope === "bh1" ? length : moments[0]) / 2;
  return weighted([x, ...estimates], [scale, ...interpolatoryWeights(nodes, moments).map((weight) => size * weight)]);
}
