// The Inception Score: how sure a classifier is of each sample, and how many classes there are among all.

import { expectArguments } from "../arguments.ts";
import { checkFeatures, type Features, type Spread, spreadOf } from "./features.ts";

/**
 * exp(E KL(p(y | x) ‖ p(y))), from 1 to the number of classes (Salimans et al. 2016), with p(y) the mean over the samples of a split;
 * mean and standard deviation over splits of samples that follow each other. 0 · log 0 is 0.
 * @param probabilities p(y | x) of each sample
 * @param options splits: 10 by default, as published figures have it (of 50,000 samples)
 * @throws Error when there are fewer samples than splits, or a row is no distribution (its sum is off by more than 1e-3)
 */
export function inceptionScore(probabilities: Features, options: { readonly splits?: number } = {}): Spread {
  expectArguments("inceptionScore", { probabilities, options });
  const { splits = 10 } = options;
  if (!(Number.isInteger(splits) && splits >= 1))
    throw new Error(`inceptionScore: ${splits} splits, want a positive integer`);
  checkFeatures("inceptionScore", probabilities, splits);
  const rows = probabilities.map((row, k) => distribution(Float64Array.from(row), k));
  const bound = (split: number) => Math.floor((split * rows.length) / splits);
  return spreadOf(Array.from({ length: splits }, (_, k) => scoreOf(rows.slice(bound(k), bound(k + 1)))));
}

function scoreOf(rows: readonly Float64Array[]): number {
  const totals = rows[0].map((_, y) => rows.reduce((sum, row) => sum + row[y], 0));
  const divergences = rows.map((row) =>
    row.reduce((sum, p, y) => (p === 0 ? sum : sum + p * Math.log((p * rows.length) / totals[y])), 0),
  );
  return Math.exp(divergences.reduce((a, b) => a + b) / rows.length);
}

/** With a sum of exactly 1, which float32 probabilities have only nearly. */
function distribution(row: Float64Array, sample: number): Float64Array {
  const total = row.reduce((a, b) => a + b, 0);
  if (row.some((p) => p < 0) || Math.abs(total - 1) > 1e-3)
    throw new Error(
      `inceptionScore: sample ${sample} has the sum ${total}, want probabilities from 0 on that sum to 1`,
    );
  return row.map((p) => p / total);
}
