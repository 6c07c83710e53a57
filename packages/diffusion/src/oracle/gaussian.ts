// The Gaussian oracle.

import { type Shape, ShapeError } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { mixture } from "./mixture.ts";
import type { Oracle } from "./oracle.ts";

/** A Gaussian: one of variance and covariance, and of mean and shape at least what tells d. */
export interface GaussianParts {
  /** One number for all elements, or d of them in row-major order. Default 0. */
  readonly mean?: number | ArrayLike<number>;
  /** One number for all directions, or one per element. */
  readonly variance?: number | ArrayLike<number>;
  /** d rows of d, symmetric, without negative eigenvalues. */
  readonly covariance?: readonly ArrayLike<number>[];
  /** The shape of one sample. Default [d]. */
  readonly shape?: Shape;
}

/**
 * N(μ, Σ): under noise N(a μ, C) with C = a² Σ + b² I, a the signal and b the noise, so that the score is −C⁻¹ (x − a μ), its divergence
 * −tr C⁻¹, and E[x₀ | x] = μ + a Σ C⁻¹ (x − a μ).
 * @throws as `mixtureOracle`; ShapeError when nothing tells d
 */
export function gaussianOracle(options: GaussianParts): Oracle {
  expectArguments("gaussianOracle", { options });
  const { mean = 0, variance, covariance, shape } = options;
  const vectors = [mean, variance].filter((given) => typeof given === "object");
  const d = shape?.reduce((a, b) => a * b, 1) ?? vectors[0]?.length ?? covariance?.length;
  if (d === undefined)
    throw new ShapeError(
      "gaussianOracle: neither shape, vectors nor a matrix, want one to tell the number of elements",
    );
  return mixture("gaussianOracle", {
    means: [typeof mean === "number" ? new Float64Array(d).fill(mean) : mean],
    ...(variance !== undefined && { variances: [variance] }),
    ...(covariance && { covariances: [covariance] }),
    ...(shape && { shape }),
  });
}
