// What the metrics take: one feature vector per sample, as rows of numbers on the host.

/** Rows of equal length: feature vectors, such as a network's last hidden layer, or probabilities of classes. */
export type Features = readonly ArrayLike<number>[];

/** The length of the vectors. @throws Error naming the caller when there are fewer than `least`, or they differ in length, or are not finite */
export function checkFeatures(name: string, features: Features, least: number): number {
  if (features.length < least) throw new Error(`${name}: ${features.length} samples, want at least ${least}`);
  const { length } = features[0];
  for (const [k, vector] of features.entries()) {
    if (vector.length !== length || length === 0)
      throw new Error(`${name}: sample ${k} has ${vector.length} numbers, want ${length || "some"} as the first`);
    for (let i = 0; i < length; i++)
      if (!Number.isFinite(vector[i])) throw new Error(`${name}: sample ${k} has ${vector[i]}, want finite numbers`);
  }
  return length;
}

/** The length of the vectors of two sets. @throws Error as for one, or when they differ */
export function checkPair(name: string, real: Features, generated: Features, least: number): number {
  const [a, b] = [real, generated].map((features) => checkFeatures(name, features, least));
  if (a !== b) throw new Error(`${name}: vectors of ${a} and of ${b} numbers, want the same features`);
  return a;
}

/** Mean and standard deviation (of these values themselves) of a number of estimates. */
export interface Spread {
  /** The mean of the estimates. */
  readonly mean: number;
  /** Their standard deviation. */
  readonly std: number;
}

/** Mean and standard deviation of estimates. */
export function spreadOf(values: readonly number[]): Spread {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return { mean, std: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) };
}
