// Eigenvalues and eigenvectors of a symmetric matrix on the host, by Jacobi's rotations.

/** A = V diag(values) Vᵀ. */
export interface SymmetricEigen {
  /** Not sorted. */
  readonly values: Float64Array;
  /** d rows of d; column k belongs to value k, and columns are orthonormal. */
  readonly vectors: readonly Float64Array[];
}

/** @param matrix d rows of d, symmetric; for d up to some hundred */
export function symmetricEigen(matrix: readonly ArrayLike<number>[]): SymmetricEigen {
  const d = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const vectors = Array.from({ length: d }, (_, i) => Float64Array.from({ length: d }, (_, j) => Number(i === j)));
  const total = a.reduce((sum, row) => row.reduce((s, x) => s + x * x, sum), 0);
  // It converges quadratically: a dozen sweeps is more than any matrix takes.
  for (let sweep = 0; sweep < 60 && offDiagonal(a) > 1e-32 * total; sweep++) {
    for (let p = 0; p < d; p++) {
      for (let q = p + 1; q < d; q++) {
        if (a[p][q] === 0) continue;
        const theta = (a[q][q] - a[p][p]) / (2 * a[p][q]);
        const tangent = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.hypot(theta, 1));
        const cosine = 1 / Math.hypot(tangent, 1);
        const turn = { p, q, cosine, sine: tangent * cosine };
        rotateColumns(a, turn);
        rotateRows(a, turn);
        rotateColumns(vectors, turn);
      }
    }
  }
  return { values: Float64Array.from({ length: d }, (_, i) => a[i][i]), vectors };
}

interface Turn {
  readonly p: number;
  readonly q: number;
  readonly cosine: number;
  readonly sine: number;
}

function rotateColumns(rows: readonly Float64Array[], { p, q, cosine, sine }: Turn): void {
  for (const row of rows) [row[p], row[q]] = [cosine * row[p] - sine * row[q], sine * row[p] + cosine * row[q]];
}

function rotateRows(rows: readonly Float64Array[], { p, q, cosine, sine }: Turn): void {
  const [above, below] = [rows[p], rows[q]];
  for (let k = 0; k < above.length; k++)
    [above[k], below[k]] = [cosine * above[k] - sine * below[k], sine * above[k] + cosine * below[k]];
}

function offDiagonal(a: readonly Float64Array[]): number {
  let sum = 0;
  for (const [i, row] of a.entries()) for (const [j, x] of row.entries()) if (i !== j) sum += x * x;
  return sum;
}
