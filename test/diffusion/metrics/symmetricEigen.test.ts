// Eigenvalues and eigenvectors against a matrix whose own are known, and as a decomposition.
import { randomStream } from "@pkg/tensor";
import { expect, test } from "vitest";
import { symmetricEigen } from "../../../packages/diffusion/src/metrics/symmetricEigen.ts";

/** The largest entries of V diag(values) Vᵀ − A and of VᵀV − I. */
function residuals(matrix: readonly ArrayLike<number>[]): { product: number; orthonormality: number } {
  const { values, vectors } = symmetricEigen(matrix);
  const sum = (f: (k: number) => number) => values.reduce((total, _, k) => total + f(k), 0);
  const worst = (f: (i: number, j: number) => number) =>
    values.reduce((most, _, i) => values.reduce((m, _, j) => Math.max(m, Math.abs(f(i, j))), most), 0);
  return {
    product: worst((i, j) => sum((k) => vectors[i][k] * values[k] * vectors[j][k]) - matrix[i][j]),
    orthonormality: worst((i, j) => sum((k) => vectors[k][i] * vectors[k][j]) - Number(i === j)),
  };
}

test("a chain of springs has the eigenvalues 2 − 2 cos(π k / (n + 1))", () => {
  const n = 30;
  const chain = Array.from({ length: n }, (_, i) =>
    Array.from({ length: n }, (_, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0)),
  );
  const found = symmetricEigen(chain).values.toSorted();
  for (const [k, value] of found.entries())
    expect(value).toBeCloseTo(2 - 2 * Math.cos((Math.PI * (k + 1)) / (n + 1)), 12);
});

test("any symmetric matrix is put together again, singular, diagonal and repeated ones too", () => {
  const draws = randomStream(1).host.normal([40, 40]);
  const random = Array.from({ length: 40 }, (_, i) =>
    Array.from({ length: 40 }, (_, j) => draws[Math.min(i, j) * 40 + Math.max(i, j)]),
  );
  const u = [1, 2, 3, 4, -5];
  const matrices = [
    random,
    u.map((x) => u.map((y) => x * y)),
    u.map((x, i) => u.map((_, j) => (i === j ? x : 0))),
    u.map((_, i) => u.map((_, j) => Number(i === j))),
    u.map(() => u.map(() => 0)),
    [
      [0, 1],
      [1, 0],
    ],
    [[3]],
  ];
  for (const matrix of matrices) {
    const { product, orthonormality } = residuals(matrix);
    // A few roundings for each of n entries, of the largest value: 20 for the random one, 55 for u uᵀ.
    expect(product).toBeLessThan(4 * matrix.length * 55 * Number.EPSILON);
    expect(orthonormality).toBeLessThan(4 * matrix.length * Number.EPSILON);
  }
  expect(symmetricEigen([]).values).toHaveLength(0);
});

test("what is not finite is refused", () => {
  expect(() =>
    symmetricEigen([
      [Number.NaN, 0],
      [0, 1],
    ]),
  ).toThrow("symmetricEigen: a matrix with entries that are not finite");
});
