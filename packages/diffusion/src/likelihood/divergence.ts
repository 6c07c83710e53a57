// The divergence tr ∇f of a vector field: exactly, and by Hutchinson's estimate.

import { type RandomStream, ShapeError, type Tensor, tensor, tidy, vjp, zeros } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { bracket, checkField } from "../model/score.ts";
import { sampleSize, sumPerSample } from "../objective/perSample.ts";

/** A vector field: [batch, ...] → the same, each sample alone. */
export type Field = (x: Tensor) => Tensor;

/** A field's value and its divergence at the same points. */
export interface FieldDivergence {
  /** f(x), [batch, ...] */
  readonly value: Tensor;
  /** tr ∇f(x) = Σ ∂fᵢ/∂xᵢ, [batch] */
  readonly divergence: Tensor;
}

/** The number and the distribution of probes. */
export interface ProbeOptions {
  /** How many to draw. Default 1. */
  readonly count?: number;
  /** Default "rademacher" (±1), whose estimate has the smaller variance: the diagonal of ∇f adds none to it. */
  readonly distribution?: "rademacher" | "normal";
}

/**
 * Directions v with E[v vᵀ] = I, each of x's shape.
 * @param rng takes one draw a probe
 * @throws Error when `count` is not a positive integer
 */
export function drawProbes(x: Tensor, rng: RandomStream, options: ProbeOptions = {}): Tensor[] {
  expectArguments("drawProbes", { x, rng, options });
  const { count = 1, distribution = "rademacher" } = options;
  const { shape, backend } = x;
  if (!(Number.isInteger(count) && count > 0))
    throw new Error(`drawProbes: ${count} probes, want a positive integer of them`);
  if (distribution !== "rademacher" && distribution !== "normal")
    throw new Error(`drawProbes: distribution is "${distribution}", want rademacher or normal`);
  return Array.from({ length: count }, () => rng[distribution](shape, { backend }));
}

/**
 * tr ∇f, one pullback for each of a sample's d elements over one recorded run: for small d.
 * @param x [batch, ...]
 * @throws ShapeError when f(x) is not of x's shape
 */
export function exactDivergence(field: Field, x: Tensor): FieldDivergence {
  expectArguments("exactDivergence", { field, x });
  return tidy(() => {
    const { value, pullback } = vjp((y) => checkField("exactDivergence", field(y), y), [x]);
    const [batch, ...dims] = x.shape;
    const size = sampleSize(x);
    let divergence = zeros([batch], { backend: x.backend });
    for (let k = 0; k < size; k++) {
      // Freed one by one: together the rows of ∇f would be d times as large as x.
      divergence = tidy(() => {
        const unit = tensor(
          Float32Array.from({ length: size }, (_, i) => Number(i === k)),
          {
            backend: x.backend,
            shape: [1, ...dims],
          },
        );
        const row = pullback(unit.expand(x.shape))[0].reshape([batch, size]);
        return divergence.add(row.slice(null, k));
      });
    }
    return { value, divergence };
  });
}

/**
 * vᵀ ∇f v, the mean over probes: an unbiased estimate of tr ∇f when E[v vᵀ] = I (Hutchinson 1990), at one pullback a probe.
 * `jvp` would take two pullbacks for the same. With A the symmetric part of ∇f, its variance is 2 Σ_{i≠j} A_ij² for a Rademacher probe and
 * 2 Σ_ij A_ij² for a normal one.
 * @param probes from `drawProbes`; the same ones at every step keep an ODE smooth
 * @throws Error without probes; ShapeError when one, or f(x), is not of x's shape
 */
export function hutchinsonDivergence(field: Field, x: Tensor, probes: readonly Tensor[]): FieldDivergence {
  expectArguments("hutchinsonDivergence", { field, x, probes });
  return tidy(() => {
    checkProbes("hutchinsonDivergence", probes, x);
    const { value, pullback } = vjp((y) => checkField("hutchinsonDivergence", field(y), y), [x]);
    const curvatures = probes.map((v) => sumPerSample(pullback(v)[0].mul(v)));
    return { value, divergence: meanOf(curvatures) };
  });
}

/** The mean of tensors of equal shape. */
export function meanOf(terms: readonly Tensor[]): Tensor {
  return terms.reduce((a, b) => a.add(b)).mul(1 / terms.length);
}

export function checkProbes(name: string, probes: readonly Tensor[], { shape }: Tensor): void {
  if (probes.length === 0) throw new Error(`${name}: no probes, want at least one`);
  const wrong = probes.find((v) => bracket(v.shape) !== bracket(shape));
  if (wrong) throw new ShapeError(`${name}: a probe of shape ${bracket(wrong.shape)}, want x's, ${bracket(shape)}`);
}
