// Weights of estimates at several places, which integrate the polynomial through those places exactly.

/**
 * The w with Σ_j w_j p(node_j) = Σ_k p_k moment_k for every polynomial p(s) = Σ_k p_k s^k of a degree below the number of nodes.
 * With moment_k = ∫ s^k ω(s) ds these are the interpolatory weights of ∫ p ω ds, in closed form: no quadrature.
 * @param nodes all different
 */
export function interpolatoryWeights(nodes: readonly number[], moments: readonly number[]): number[] {
  return nodes.map((node, j) => {
    let basis = [1]; // Lagrange's polynomial of the node, by rising power
    for (const [i, other] of nodes.entries()) {
      if (i !== j) basis = [...basis, 0].map((high, k) => ((basis[k - 1] ?? 0) - other * high) / (node - other));
    }
    return basis.reduce((sum, coefficient, k) => sum + coefficient * moments[k], 0);
  });
}

/** ∫₀¹ s^k ds, k < count: the moments of an even weight. */
export function evenMoments(count: number): number[] {
  return Array.from({ length: count }, (_, k) => 1 / (k + 1));
}

/**
 * h ∫₀¹ e^{−h(1−s)} s^k ds = h k! φ_{k+1}(−h), k < count: the moments of an exponential integrator of step h, which may be negative.
 * For small h by its series: the recursion would lose digits there.
 */
export function exponentialMoments(h: number, count: number): number[] {
  const moments = [-Math.expm1(-h)];
  for (let k = 1; k < count; k++) moments.push(Math.abs(h) < 1 ? momentSeries(h, k) : 1 - (k / h) * moments[k - 1]);
  return moments;
}

/** h k! Σ_n (−h)^n / (n + k + 1)!, to the last bit for |h| < 1. */
function momentSeries(h: number, k: number): number {
  let [sum, term] = [0, h / (k + 1)];
  for (let n = 0; n < 20; n++) {
    sum += term;
    term *= -h / (n + k + 2);
  }
  return sum;
}
