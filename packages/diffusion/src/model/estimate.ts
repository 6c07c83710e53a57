// A mean that was measured, with its error.

/** A mean over independent draws, and its standard error; the error is infinite where there is one draw to tell it from. */
export interface Estimate {
  /** The mean of the draws. */
  readonly mean: number;
  /** The standard error of that mean. */
  readonly standardError: number;
}

/** The mean of independent values, and the standard deviation of that mean. @param values at least one */
export function estimate(values: readonly number[]): Estimate {
  const n = values.length;
  const mean = values.reduce((a, b) => a + b, 0) / n;
  if (n === 1) return { mean, standardError: Number.POSITIVE_INFINITY };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, standardError: Math.sqrt(squares / (n - 1) / n) };
}
