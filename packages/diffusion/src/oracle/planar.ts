// Distributions in the plane that show what score models can and cannot do: rings, a chessboard, a banana.

import { type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { bracket } from "../model/score.ts";
import { type MixtureOracle, mixtureOracle } from "./mixture.ts";
import type { Density } from "./oracle.ts";

/** Equal Gaussians evenly on a circle around 0, the first at (radius, 0). */
export interface CircleOptions {
  /** The radius of the circle. */
  readonly radius?: number;
  /** The standard deviation of each. */
  readonly deviation?: number;
}

/** Eight Gaussians on a circle: modes with nothing in between. Radius 2 and deviation 0.1 by default. */
export function eightGaussians(options: CircleOptions = {}): MixtureOracle {
  expectArguments("eightGaussians", { options });
  const { radius = 2, deviation = 0.1 } = options;
  return circle("eightGaussians", 8, radius, deviation);
}

/**
 * A circle of radius 2, blurred by a Gaussian of deviation 0.2 by default: a manifold of one dimension. It is a mixture of so many
 * components along the circle that their density is the blurred circle's to 1e-9, within four deviations of it: the trapezoidal rule
 * for a smooth periodic function.
 */
export function ring(options: CircleOptions = {}): MixtureOracle {
  expectArguments("ring", { options });
  const { radius = 2, deviation = 0.2 } = options;
  checkLengths("ring", { radius, deviation });
  if (radius > 1e4 * deviation)
    throw new Error(`ring: deviation is ${deviation} at a radius of ${radius}, want at least 1e-4 of it`);
  return circle("ring", 16 + Math.ceil((10 * radius) / deviation), radius, deviation);
}

/**
 * The dark squares of a board of 4 × 4 (by default) around 0, each square of side 1, blurred: each is 4 × 4 Gaussians whose deviation is
 * half of their distance: flat inside to 6 %, and falling over an eighth of a side at the edges.
 */
export function checkerboard(options: { readonly squares?: number; readonly side?: number } = {}): MixtureOracle {
  expectArguments("checkerboard", { options });
  const { squares = 4, side = 1 } = options;
  if (!(Number.isInteger(squares) && squares >= 2))
    throw new Error(`checkerboard: ${squares} squares, want an integer of 2 or more`);
  checkLengths("checkerboard", { side });
  const cells = 4 * squares;
  const pitch = side / 4;
  const means = Array.from({ length: cells ** 2 }, (_, i) => [i % cells, Math.floor(i / cells)])
    .filter(([column, row]) => (Math.floor(column / 4) + Math.floor(row / 4)) % 2 === 0)
    .map((place) => place.map((k) => (k + 0.5 - cells / 2) * pitch));
  return mixtureOracle({ means, variances: (pitch / 2) ** 2 });
}

/**
 * x₁ ~ N(0, a²), x₂ ~ N(c (x₁² − a²), b²): a Gaussian bent into a banana (Haario et al. 1999). log p = log N(x₁; 0, a²) + log N(y; 0, b²) with
 * y = x₂ − c (x₁² − a²). Not an oracle of noised data: those have no closed form.
 * @param options length: a, 1 by default; width: b, 0.25; bend: c, of any sign, 0.5
 */
export function banana(
  options: { readonly length?: number; readonly width?: number; readonly bend?: number } = {},
): Density {
  expectArguments("banana", { options });
  const { length = 1, width = 0.25, bend = 0.5 } = options;
  checkLengths("banana", { length, width });
  if (!Number.isFinite(bend)) throw new Error(`banana: bend is ${bend}, want a finite number`);
  const [v, w] = [length ** 2, width ** 2];
  const columns = (x: Tensor) => {
    if (x.rank !== 2 || x.shape[1] !== 2) throw new Error(`banana: x is ${bracket(x.shape)}, want [batch, 2]`);
    const [first, second] = x.split(1, 1);
    return { first, away: second.sub(first.square().sub(v).mul(bend)) };
  };
  return {
    shape: [2],
    mean: Float64Array.of(0, 0),
    covariance: () => [Float64Array.of(v, 0), Float64Array.of(0, w + 2 * bend ** 2 * v ** 2)],
    logDensity: (x) =>
      tidy(() => {
        const { first, away } = columns(x);
        const exponent = first
          .square()
          .mul(-0.5 / v)
          .sub(away.square().mul(0.5 / w));
        return exponent.squeeze(1).sub(Math.log(2 * Math.PI * length * width));
      }),
    score: (x) =>
      tidy(() => {
        const { first, away } = columns(x);
        const slope = first
          .mul(away)
          .mul((2 * bend) / w)
          .sub(first.mul(1 / v));
        // Both columns at once: [slope, −away / w].
        return slope
          .mul(tensor([[1, 0]], { backend: x.backend }))
          .add(away.mul(tensor([[0, -1 / w]], { backend: x.backend })));
      }),
    divergence: (x) =>
      tidy(() => {
        const { first, away } = columns(x);
        const curvature = away.sub(first.square().mul(2 * bend)).mul((2 * bend) / w);
        return curvature.squeeze(1).sub(1 / v + 1 / w);
      }),
    sample(count, rng, { backend } = {}) {
      const normals = rng.host.normal([count, 2]);
      const samples = Float64Array.from(normals, (z, i) => {
        if (i % 2 === 0) return length * z;
        const first = length * normals[i - 1];
        return width * z + bend * (first ** 2 - v);
      });
      return tensor(samples, { backend, shape: [count, 2] });
    },
  };
}

function circle(name: string, count: number, radius: number, deviation: number): MixtureOracle {
  checkLengths(name, { radius, deviation });
  const angles = Array.from({ length: count }, (_, k) => (2 * Math.PI * k) / count);
  return mixtureOracle({
    means: angles.map((angle) => [radius * Math.cos(angle), radius * Math.sin(angle)]),
    variances: deviation ** 2,
  });
}

function checkLengths(name: string, lengths: Readonly<Record<string, number>>): void {
  for (const [what, value] of Object.entries(lengths))
    if (!(value > 0 && Number.isFinite(value))) throw new Error(`${name}: ${what} is ${value}, want a positive number`);
}
