// Eigenvalues and eigenvectors of a symmetric matrix on the host: Householder's reflections, then QR steps with Wilkinson's shift.

/** A = V diag(values) Vᵀ. */
export interface SymmetricEigen {
  /** Not sorted. */
  readonly values: Float64Array;
  /** d rows of d; column k belongs to value k, and columns are orthonormal. */
  readonly vectors: readonly Float64Array[];
}

/** T = Qᵀ A Q with entries beside its diagonal alone. */
interface Tridiagonal {
  readonly diagonal: Float64Array;
  /** Entry k stands between k and k + 1. */
  readonly beside: Float64Array;
  /** Qᵀ: rows, so that what changes together lies together. */
  readonly basis: readonly Float64Array[];
}

/**
 * In time d³, some seconds for d of a thousand; errors are those of rounding the largest value (Golub & Van Loan 2013, section 8.3).
 * @param matrix d rows of d, symmetric
 * @throws Error when an entry is not finite
 */
export function symmetricEigen(matrix: readonly ArrayLike<number>[]): SymmetricEigen {
  const { diagonal, beside, basis } = tridiagonal(matrix);
  const size = diagonal.reduce((most, x, k) => Math.max(most, Math.abs(x) + Math.abs(beside[k] ?? 0)), 0);
  if (!Number.isFinite(size))
    throw new Error("symmetricEigen: a matrix with entries that are not finite, want numbers");
  const isZero = (k: number) => Math.abs(beside[k]) <= Number.EPSILON * size;
  let last = diagonal.length - 1;
  while (last > 0) {
    if (isZero(last - 1)) {
      last--;
      continue;
    }
    let first = last - 1;
    while (first > 0 && !isZero(first - 1)) first--;
    qrStep({ diagonal, beside, basis }, first, last);
  }
  const vectors = basis.map((_, i) => Float64Array.from(basis, (row) => row[i]));
  return { values: diagonal, vectors };
}

/** Reflections I − 2 u uᵀ, each of which clears a column below its first two entries. */
function tridiagonal(matrix: readonly ArrayLike<number>[]): Tridiagonal {
  const d = matrix.length;
  const a = matrix.map((row) => Float64Array.from(row));
  const basis = matrix.map((_, i) => Float64Array.from({ length: d }, (_, j) => Number(i === j)));
  for (let k = 0; k < d - 2; k++) {
    const u = Float64Array.from(a, (row, i) => (i > k ? row[k] : 0));
    const length = norm(u);
    if (length === 0) continue;
    u[k + 1] += u[k + 1] < 0 ? -length : length;
    const scale = 1 / norm(u);
    for (let i = k + 1; i < d; i++) u[i] *= scale;
    // H A H = A − 2 u wᵀ − 2 w uᵀ with w = A u − (uᵀ A u) u
    const image = Float64Array.from(a, (row) => dot(row, u));
    const along = dot(image, u);
    const w = Float64Array.from(u, (x, i) => image[i] - along * x);
    for (let i = k; i < d; i++) {
      addTo(a[i], -2 * u[i], w);
      addTo(a[i], -2 * w[i], u);
    }
    const shares = new Float64Array(d);
    for (let i = k + 1; i < d; i++) addTo(shares, u[i], basis[i]);
    for (let i = k + 1; i < d; i++) addTo(basis[i], -2 * u[i], shares);
  }
  const diagonal = Float64Array.from(a, (row, k) => row[k]);
  const beside = Float64Array.from({ length: Math.max(0, d - 1) }, (_, k) => a[k + 1][k]);
  return { diagonal, beside, basis };
}

/** T − μ = Q R and R Q + μ in its place, by rotations that chase the entry that the first one leaves outside of the band. */
function qrStep({ diagonal: a, beside: b, basis }: Tridiagonal, first: number, last: number): void {
  const half = (a[last - 1] - a[last]) / 2;
  const shift = a[last] - b[last - 1] ** 2 / (half + (half < 0 ? -1 : 1) * Math.hypot(half, b[last - 1]));
  let [x, z] = [a[first] - shift, b[first]];
  for (let k = first; k < last; k++) {
    const r = Math.hypot(x, z);
    const [c, s] = r === 0 ? [1, 0] : [x / r, z / r];
    if (k > first) b[k - 1] = r;
    const [above, below, between] = [a[k], a[k + 1], b[k]];
    a[k] = c * c * above + 2 * c * s * between + s * s * below;
    a[k + 1] = s * s * above - 2 * c * s * between + c * c * below;
    b[k] = (c * c - s * s) * between + c * s * (below - above);
    if (k < last - 1) [x, z, b[k + 1]] = [b[k], s * b[k + 1], c * b[k + 1]];
    const [upper, lower] = [basis[k], basis[k + 1]];
    for (let j = 0; j < upper.length; j++) {
      const value = upper[j];
      upper[j] = c * value + s * lower[j];
      lower[j] = c * lower[j] - s * value;
    }
  }
}

/** row += factor · other */
function addTo(row: Float64Array, factor: number, other: Float64Array): void {
  for (let j = 0; j < row.length; j++) row[j] += factor * other[j];
}

function norm(v: Float64Array): number {
  return Math.sqrt(dot(v, v));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
  return sum;
}
