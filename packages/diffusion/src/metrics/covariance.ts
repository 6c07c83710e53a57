// What a covariance has to be, but for the rounding of its entries, which may have been added up in float32.

/** Refuses a covariance that is not symmetric, or has entries that are not finite. @throws Error with its `name` */
export function checkSymmetric(name: string, covariance: readonly ArrayLike<number>[]): void {
  // Sums in another order leave (i, j) and (j, i) apart.
  const allowed = isSingle(covariance) ? 1e-3 : 1e-9;
  for (const [i, row] of covariance.entries()) {
    for (let j = 0; j < row.length; j++) {
      const [here, there] = [row[j], covariance[j][i]];
      if (!Number.isFinite(here)) throw new Error(`${name} has ${here}, want finite numbers`);
      if (j < i && Math.abs(here - there) > allowed * Math.sqrt(Math.abs(row[i]) * Math.abs(covariance[j][j])))
        throw new Error(`${name} has ${here} at (${i}, ${j}) and ${there} at (${j}, ${i}), want it symmetric`);
    }
  }
}

/**
 * How far from 0 rounding may leave an eigenvalue that is 0. Sums of n products have random errors of √n u √(C_ii C_jj), whose matrix has
 * a norm of about 2 √(n / d) u Tr C: below 4 u Tr C where there are fewer samples than features, d > n.
 * @param values the eigenvalues
 */
export function roundingOf(covariance: readonly ArrayLike<number>[], values: Float64Array): number {
  const trace = covariance.reduce((sum, row, k) => sum + Math.abs(row[k]), 0);
  const ofHost = covariance.length * Number.EPSILON * largest(values);
  return isSingle(covariance) ? Math.max(ofHost, 4 * 2 ** -24 * trace) : ofHost;
}

/** Refuses eigenvalues that are below 0 by more than rounding. */
export function checkNoneNegative(name: string, covariance: readonly ArrayLike<number>[], values: Float64Array): void {
  const least = values.reduce((low, value) => Math.min(low, value), 0);
  const allowed = Math.max(16 * roundingOf(covariance, values), 1e-12 * covariance.length * largest(values));
  if (!(least >= -allowed)) throw new Error(`${name} has the eigenvalue ${least}, want none below 0`);
}

/** The largest of some values. */
export function largest(values: Float64Array): number {
  return values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
}

/** Whether all entries are float32's. */
function isSingle(covariance: readonly ArrayLike<number>[]): boolean {
  return covariance.every((row) => Array.from(row).every((value) => Math.fround(value) === value));
}
