// EDM's churn: noise that a step adds before it removes more.

import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { checkNonNegative } from "./checkOptions.ts";
import { draw, type Row, sum } from "./step.ts";

/** How much noise each step adds before it removes more; by default none. */
export interface Churn {
  /** S_churn, over all steps. Default 0. */
  readonly churn?: number;
  /** Churn only at σ in [from, to]. Default: everywhere. */
  readonly from?: number;
  /** The largest σ to churn at. Default: no limit. */
  readonly to?: number;
  /** S_noise, the standard deviation of the new noise. Default 1. */
  readonly scale?: number;
}

/** How a step begins: rows that add noise, the quantity that they end with, and its level. */
interface Beginning {
  readonly rows: Readonly<Record<string, Row | undefined>>;
  readonly x: string;
  readonly level: NoiseLevel;
}

/**
 * The beginning of a step from a level: from σ to σ̂ = σ (1 + min(S_churn / n, √2 − 1)), lines 4 to 6 of Karras et al. 2022, algorithm 2.
 * @throws Error for churn, scale or bounds below 0
 */
export function churner(name: string, path: NoisePath, options: Churn): (level: NoiseLevel) => Beginning {
  const { churn = 0, from = 0, to = Number.POSITIVE_INFINITY, scale = 1 } = options;
  checkNonNegative(name, { churn, from, to, scale });
  const more = Math.min(churn / (path.levels.length - 1), Math.SQRT2 - 1);
  return (level) => {
    const sigma = sigmaOf(level);
    if (!(more > 0 && sigma >= from && sigma <= to)) return { rows: {}, x: "x", level };
    const here = path.at(sigma * (1 + more));
    const noisier = sum({
      x: here.signal / level.signal,
      noise: here.signal * Math.sqrt(sigmaOf(here) ** 2 - sigma ** 2) * scale,
    });
    return { rows: { noise: draw, noisier }, x: "noisier", level: here };
  };
}
