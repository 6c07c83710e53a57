// The components of a Gaussian mixture on the host, in float64: read and checked, their moments, and samples.

import { type RandomStream, type Shape, ShapeError } from "@pkg/tensor";
import { checkNoneNegative, checkSymmetric } from "../metrics/covariance.ts";
import { symmetricEigen } from "../metrics/symmetricEigen.ts";
import { bracket } from "../model/score.ts";

/** What a Gaussian mixture is made of. */
export interface MixtureParts {
  /** Positive; divided by their sum. Default: all equal. */
  readonly weights?: readonly number[];
  /** One vector of d elements a component, in row-major order. */
  readonly means: readonly ArrayLike<number>[];
  /** For each component one variance for all directions, or one per element; from 0 on. One number is for all components. */
  readonly variances?: number | readonly (number | ArrayLike<number>)[];
  /** Instead of variances: d rows of d for each component, symmetric, without negative eigenvalues. */
  readonly covariances?: readonly (readonly ArrayLike<number>[])[];
  /** The shape of one sample, of d elements. Default [d]. */
  readonly shape?: Shape;
}

/** One Gaussian: its covariance is V diag(spread) Vᵀ. */
export interface Component {
  readonly weight: number;
  readonly mean: Float64Array;
  /** Variances along the axes: one for all of them, or d. */
  readonly spread: Float64Array;
  /** V, d rows of d; null where the axes are those of x. */
  readonly axes: readonly Float64Array[] | null;
}

/** The components of a mixture, checked. @throws Error and ShapeError as `mixtureOracle` */
export function readMixture(name: string, parts: MixtureParts): { components: readonly Component[]; shape: Shape } {
  const { means, weights = means.map(() => 1), variances, covariances } = parts;
  if (means.length === 0) throw new Error(`${name}: no means, want at least one component`);
  const d = means[0].length;
  const { shape = [d] } = parts;
  if (shape.reduce((a, b) => a * b, 1) !== d || d === 0)
    throw new ShapeError(`${name}: means of ${d} elements for samples of shape ${bracket(shape)}, want as many`);
  if ((variances === undefined) === (covariances === undefined))
    throw new Error(
      `${name}: ${variances === undefined ? "neither" : "both"} variances and covariances, want one of them`,
    );
  const perComponent = (what: string, given: ArrayLike<unknown>) => {
    if (given.length !== means.length)
      throw new ShapeError(`${name}: ${given.length} ${what} for ${means.length} means, want one each`);
  };
  perComponent("weights", weights);
  for (const [k, weight] of weights.entries())
    if (!(weight > 0 && Number.isFinite(weight)))
      throw new Error(`${name}: weights[${k}] is ${weight}, want a positive number`);
  const total = weights.reduce((a, b) => a + b, 0);
  const spreads = typeof variances === "number" ? means.map(() => variances) : variances;
  if (spreads) perComponent("variances", spreads);
  if (covariances) perComponent("covariances", covariances);
  const components = means.map((mean, k): Component => {
    if (mean.length !== d) throw new ShapeError(`${name}: means[${k}] has ${mean.length} elements, want ${d}`);
    const wrong = Array.from(mean).findIndex((value) => !Number.isFinite(value));
    if (wrong !== -1) throw new Error(`${name}: means[${k}] has ${mean[wrong]}, want finite numbers`);
    const width = covariances
      ? principalAxes(`${name}: covariances[${k}]`, covariances[k], d)
      : { spread: checkVariances(`${name}: variances[${k}]`, spreads?.[k] ?? 0, d), axes: null };
    return { weight: weights[k] / total, mean: Float64Array.from(mean), ...width };
  });
  return { components, shape };
}

/** E[x] of a mixture. */
export function meanOfMixture(components: readonly Component[]): Float64Array {
  return components[0].mean.map((_, i) => components.reduce((sum, { weight, mean }) => sum + weight * mean[i], 0));
}

/** Σ_k w_k (Σ_k + (μ_k − μ)(μ_k − μ)ᵀ), d rows of d. */
export function covarianceOfMixture(components: readonly Component[]): Float64Array[] {
  const centre = meanOfMixture(components);
  const rows = Array.from(centre, () => new Float64Array(centre.length));
  for (const { weight, mean, spread, axes } of components) {
    for (const [i, row] of rows.entries()) {
      for (let j = 0; j < row.length; j++) {
        const within = axes
          ? spread.reduce((sum, variance, k) => sum + axes[i][k] * variance * axes[j][k], 0)
          : i === j
            ? along(spread, i)
            : 0;
        row[j] += weight * (within + (mean[i] - centre[i]) * (mean[j] - centre[j]));
      }
    }
  }
  return rows;
}

/** The variance along axis i. */
export function along(spread: Float64Array, i: number): number {
  return spread[spread.length === 1 ? 0 : i];
}

/** Samples, row after row. @param rng takes two draws: which components, and normal numbers */
export function drawMixture(components: readonly Component[], count: number, rng: RandomStream): Float64Array {
  const d = components[0].mean.length;
  const choices = rng.host.uniform([count]);
  const normals = rng.host.normal([count, d]);
  const samples = new Float64Array(count * d);
  for (let n = 0; n < count; n++) {
    const { mean, spread, axes } = components[pick(components, choices[n])];
    const steps = Float64Array.from({ length: d }, (_, i) => Math.sqrt(along(spread, i)) * normals[n * d + i]);
    for (let i = 0; i < d; i++)
      samples[n * d + i] = mean[i] + (axes ? axes[i].reduce((sum, v, k) => sum + v * steps[k], 0) : steps[i]);
  }
  return samples;
}

function pick(components: readonly Component[], uniform: number): number {
  let below = 0;
  for (const [k, { weight }] of components.entries()) {
    below += weight;
    if (uniform < below) return k;
  }
  return components.length - 1;
}

function checkVariances(name: string, given: number | ArrayLike<number>, d: number): Float64Array {
  const spread = typeof given === "number" ? Float64Array.of(given) : Float64Array.from(given);
  if (typeof given !== "number" && spread.length !== d)
    throw new ShapeError(`${name} has ${spread.length} elements, want one number or ${d}`);
  const wrong = spread.find((variance) => !(variance >= 0 && Number.isFinite(variance)));
  if (wrong !== undefined) throw new Error(`${name} has ${wrong}, want finite numbers ≥ 0`);
  return spread;
}

function principalAxes(
  name: string,
  matrix: readonly ArrayLike<number>[],
  d: number,
): Pick<Component, "spread" | "axes"> {
  if (matrix.length !== d || matrix.some((row) => row.length !== d))
    throw new ShapeError(`${name} is [${matrix.length}, ${matrix[0]?.length ?? 0}], want [${d}, ${d}]`);
  checkSymmetric(name, matrix);
  const { values, vectors } = symmetricEigen(matrix);
  checkNoneNegative(name, matrix, values);
  const size = Math.max(...matrix.map((row) => Math.max(...Array.from(row, Math.abs))));
  // What is lost in rounding is no width.
  return { spread: values.map((value) => (value > 1e-14 * size * d ? value : 0)), axes: vectors };
}
