// Fréchet's distance between Gaussians: FID, where they have the moments of features.

import { expectArguments, expectKind } from "../arguments.ts";
import { checkNoneNegative, checkSymmetric, largest, roundingOf } from "./covariance.ts";
import { checkFeatures, type Features } from "./features.ts";
import { symmetricEigen } from "./symmetricEigen.ts";

/** Mean and covariance of feature vectors. */
export interface FeatureMoments {
  /** The mean vector, of d elements. */
  readonly mean: ArrayLike<number>;
  /** d rows of d, symmetric. */
  readonly covariance: readonly ArrayLike<number>[];
}

/** The mean, and the covariance with n − 1 in its denominator. @throws Error for fewer than two samples */
export function featureMoments(features: Features): { mean: Float64Array; covariance: Float64Array[] } {
  expectArguments("featureMoments", { features });
  const d = checkFeatures("featureMoments", features, 2);
  const mean = Float64Array.from(
    { length: d },
    (_, i) => features.reduce((sum, row) => sum + row[i], 0) / features.length,
  );
  const covariance = Array.from({ length: d }, () => new Float64Array(d));
  for (const row of features) {
    const centred = mean.map((value, i) => row[i] - value);
    for (let i = 0; i < d; i++) for (let j = 0; j <= i; j++) covariance[i][j] += centred[i] * centred[j];
  }
  for (let i = 0; i < d; i++) for (let j = 0; j <= i; j++) covariance[j][i] = covariance[i][j] /= features.length - 1;
  return { mean, covariance };
}

/**
 * ‖μ₁ − μ₂‖² + Tr(C₁ + C₂ − 2 (C₁ C₂)^½), the squared 2-Wasserstein distance of N(μ₁, C₁) and N(μ₂, C₂) (Dowson & Landau 1982; Heusel
 * et al. 2017). The root's trace is that of (R Rᵀ)^½ with R = C₁^½ C₂^½, which is symmetric: singular covariances, as fewer samples than
 * features have, need no small multiple of I, and nothing is imaginary. Compare figures of the same number of samples only: the
 * estimate is biased by it.
 *
 * Moments in float32 leave the eigenvalues an error of some 2⁻²⁴ Tr C, above and below 0: those are taken for 0.
 * @throws Error when sizes differ, an entry is not finite, or a covariance is not symmetric or not positive
 * semidefinite but for the rounding of its entries
 * @example
 * ```ts
 * import { featureMoments, frechetDistance } from "@pkg/diffusion";
 *
 * const real = featureMoments([[0, 0], [2, 0], [0, 2], [2, 2]]);
 * const moved = featureMoments([[3, 0], [5, 0], [3, 2], [5, 2]]);
 * console.log(frechetDistance(real, moved).toFixed(6)); // 9.000000
 * ```
 */
export function frechetDistance(a: FeatureMoments, b: FeatureMoments): number {
  expectKind("frechetDistance", "first", a, "a");
  expectKind("frechetDistance", "first", b, "b");
  const d = a.mean.length;
  for (const { mean, covariance } of [a, b]) {
    const wrong = Array.from(mean).findIndex((value) => !Number.isFinite(value));
    if (wrong !== -1) throw new Error(`frechetDistance: a mean has ${mean[wrong]}, want finite numbers`);
    if (d === 0 || mean.length !== d || covariance.length !== d || covariance.some((row) => row.length !== d))
      throw new Error(
        `frechetDistance: a mean of ${mean.length} and a covariance of ${covariance.length}, want ${d || "some"}`,
      );
    checkSymmetric("frechetDistance: a covariance", covariance);
  }
  const root = product(rootOf(a.covariance), rootOf(b.covariance));
  const { values } = symmetricEigen(product(root, root));
  const least = d * Number.EPSILON * largest(values);
  let distance = 0;
  for (let i = 0; i < d; i++) {
    const between = values[i] > least ? Math.sqrt(values[i]) : 0;
    distance += (a.mean[i] - b.mean[i]) ** 2 + a.covariance[i][i] + b.covariance[i][i] - 2 * between;
  }
  return Math.max(0, distance); // rounding may leave it below
}

/** The symmetric square root. What is within rounding of 0 is 0: its root would be far from it. */
function rootOf(matrix: readonly ArrayLike<number>[]): Float64Array[] {
  const { values, vectors } = symmetricEigen(matrix);
  checkNoneNegative("frechetDistance: a covariance", matrix, values);
  const rounding = roundingOf(matrix, values);
  const roots = values.map((value) => (value > rounding ? Math.sqrt(value) : 0));
  const scaled = vectors.map((row) => row.map((x, k) => x * roots[k]));
  return scaled.map((row) => Float64Array.from(vectors, (other) => dot(row, other)));
}

/** a · bᵀ, by rows. */
function product(a: readonly ArrayLike<number>[], b: readonly ArrayLike<number>[]): Float64Array[] {
  return a.map((row) => Float64Array.from(b, (column) => dot(row, column)));
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
