// Precision and recall of generated samples: how many look real, and how much of what is real is among them.

import { expectArguments } from "../arguments.ts";
import { checkPair, type Features } from "./features.ts";

/**
 * Precision: the share of generated vectors that lie within the ball around some real vector which reaches to its k-th nearest real
 * neighbour (itself not counted); recall: the same with the sets exchanged (Kynkäänniemi et al. 2019).
 * @param options k: 3 by default, as in the paper
 * @throws Error when a set has no more than k vectors
 */
export function precisionRecall(
  real: Features,
  generated: Features,
  options: { readonly k?: number } = {},
): { precision: number; recall: number } {
  expectArguments("precisionRecall", { real, generated, options });
  const { k = 3 } = options;
  if (!(Number.isInteger(k) && k >= 1)) throw new Error(`precisionRecall: k is ${k}, want a positive integer`);
  checkPair("precisionRecall", real, generated, k + 1);
  return { precision: coverage(real, generated, k), recall: coverage(generated, real, k) };
}

/** The share of `points` within the balls around `centres`. */
function coverage(centres: Features, points: Features, k: number): number {
  const radii = centres.map((centre, own) => {
    const others = centres.filter((_, other) => other !== own).map((other) => squaredDistance(centre, other));
    return Float64Array.from(others).sort()[k - 1];
  });
  const inside = points.filter((point) => centres.some((centre, c) => squaredDistance(centre, point) <= radii[c]));
  return inside.length / points.length;
}

function squaredDistance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
  return sum;
}
