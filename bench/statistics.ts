// What is said of a list of times: their middle and their spread.

export interface Spread {
  readonly median: number;
  /** A tenth of the times are shorter. */
  readonly p10: number;
  /** A tenth are longer. */
  readonly p90: number;
  /** The median distance from the median. */
  readonly mad: number;
  /** Whether p90 is more than twice p10: something else ran meanwhile, and the times say little. Absent in older files. */
  readonly isWide?: boolean;
}

/** @throws Error for no samples */
export function spread(samples: readonly number[]): Spread {
  const median = quantile(samples, 0.5);
  const [p10, p90] = [quantile(samples, 0.1), quantile(samples, 0.9)];
  return {
    median,
    p10,
    p90,
    isWide: p90 > 2 * p10,
    mad: quantile(
      samples.map((sample) => Math.abs(sample - median)),
      0.5,
    ),
  };
}

/** The value below which a share of the samples lies, between two samples on the line through them. @throws Error for no samples */
export function quantile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new Error("quantile: no samples, want at least one");
  const sorted = Float64Array.from(samples).sort();
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}
