// How many levels consistency training has as it goes on, and how often each is drawn.

import { expectArguments } from "../arguments.ts";

/** The number of levels at the beginning and at the end. */
export interface DiscretisationOptions {
  /** s₀, at the beginning. Default 10. */
  readonly first?: number;
  /** s₁, at the end. Default 1280. */
  readonly last?: number;
}

/**
 * N(k) = min(s₀ 2^⌊k / K′⌋, s₁) + 1 with K′ = ⌊K / (log₂⌊s₁ / s₀⌋ + 1)⌋: the number of levels at update k of K, which doubles in equal
 * stretches; where s₁ / s₀ is no power of two the last one is shorter (Song & Dhariwal 2024, eq. 9). It is for `karras(N)`; K′ is at least 1.
 * @param update k, from 0 on
 * @param updates K
 * @throws Error for counts that are no integers in range, or an s₁ below s₀
 */
export function discretisationSteps(update: number, updates: number, options: DiscretisationOptions = {}): number {
  expectArguments("discretisationSteps", { options });
  const { first = 10, last = 1280 } = options;
  const check = (name: string, value: number, least: number) => {
    if (!(Number.isInteger(value) && value >= least))
      throw new Error(`discretisationSteps: ${name} is ${value}, want an integer from ${least} on`);
  };
  check("update", update, 0);
  check("updates", updates, 1);
  check("first", first, 1);
  check("last", last, first);
  const stretch = Math.max(1, Math.floor(updates / (Math.log2(Math.floor(last / first)) + 1)));
  return Math.min(first * 2 ** Math.floor(update / stretch), last) + 1;
}

/**
 * The probability that a normal ln σ falls between each two neighbours of the levels, given that it falls between the outermost (Song &
 * Dhariwal 2024, eq. 10).
 * @param sigmas falling
 * @returns one per pair, the noisiest first; they add up to 1
 */
export function levelProbabilities(
  sigmas: readonly number[],
  { mean, deviation }: { readonly mean: number; readonly deviation: number },
): Float64Array {
  const upTo = sigmas.map((sigma) => normalCdf((Math.log(sigma) - mean) / deviation));
  const parts = Float64Array.from(upTo.slice(1), (below, k) => upTo[k] - below);
  const total = upTo[0] - upTo[upTo.length - 1];
  // Levels so far out that the normal has nothing there are all alike.
  return parts.map((part) => (total > 0 ? part / total : 1 / parts.length));
}

/** Φ(x), by the continued fraction of its tail or the series at 0; to about 1e-12. */
function normalCdf(x: number): number {
  const size = Math.abs(x);
  if (size > 38) return x > 0 ? 1 : 0;
  const density = Math.exp((-size * size) / 2) / Math.sqrt(2 * Math.PI);
  if (size > 4) {
    let fraction = 0;
    for (let k = 60; k >= 1; k--) fraction = k / (size + fraction);
    const tail = density / (size + fraction);
    return x > 0 ? 1 - tail : tail;
  }
  let [term, sum] = [size, size];
  for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) sum += term *= (size * size) / k;
  return x > 0 ? 0.5 + density * sum : 0.5 - density * sum;
}
