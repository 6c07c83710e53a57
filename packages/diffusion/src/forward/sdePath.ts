// The way of a diffusion in continuous time from noise to data, at chosen times.

import { expectArguments } from "../arguments.ts";
import type { Prediction } from "../model/parameterization.ts";
import { expectClip, expectPrediction, expectWord } from "../optionWords.ts";
import type { NoiseLevel } from "./level.ts";
import { type Clip, levelReadings, type NoisePath } from "./path.ts";
import type { Sde } from "./sde.ts";

/** A path whose levels are times of an SDE. */
export interface SdePath extends NoisePath {
  /** The SDE whose times the levels are. */
  readonly sde: Sde;
  /** The time of each level, from 1 down; 0 for the data. */
  readonly times: readonly number[];
}

/** How times are spread: evenly (Song et al. 2021), evenly in √t, or evenly in the log of the signal-to-noise ratio. */
export type SdeSpacing = "uniform" | "quadratic" | "logSnr";

/** The times of an SDE that a path visits, and how it reads a model's prediction. */
export interface SdePathOptions {
  /** Default 1000. */
  readonly steps?: number;
  /** Default "uniform". */
  readonly spacing?: SdeSpacing;
  /** What the model predicts. Default "score". */
  readonly prediction?: Exclude<Prediction, "mean">;
  /** Default false. */
  readonly clip?: Clip;
  /** The last time with noise, in (0, 1). Default: the SDE's own. */
  readonly smallestTime?: number;
  /** Where the last step leads: from the smallest time to the data, by x̂₀ alone (default), or to the smallest time. */
  readonly end?: "data" | "smallest time";
}

/**
 * x_t = signal(t) x₀ + noise(t) ε at falling times, for every sampler that takes a path.
 * @throws Error for fewer than one step, and a smallest time outside (0, 1)
 */
export function sdePath(sde: Sde, options: SdePathOptions = {}): SdePath {
  expectArguments("sdePath", { sde, options });
  const {
    steps = 1000,
    spacing = "uniform",
    prediction = "score",
    clip = false,
    smallestTime = sde.smallestTime,
    end = "data",
  } = options;
  if (!(Number.isInteger(steps) && steps >= 1)) throw new Error(`sdePath: ${steps} steps, want a positive integer`);
  if (!(smallestTime > 0 && smallestTime < 1))
    throw new Error(`sdePath: smallestTime is ${smallestTime}, want a number in (0, 1)`);
  const noisy = spacedTimes(sde, spacing, smallestTime, end === "data" ? steps : steps + 1);
  const data: NoiseLevel = { t: 0, signal: 1, noise: 0 };
  expectPrediction("sdePath", prediction, false);
  expectClip("sdePath", clip);
  expectWord("sdePath", "end", end, ["data", "smallest time"]);
  return {
    sde,
    times: end === "data" ? [...noisy, 0] : noisy,
    levels: end === "data" ? [...noisy.map(sde.level), data] : noisy.map(sde.level),
    prior: sde.prior,
    at: (sigma) => sde.level(sde.time(sigma)),
    ...levelReadings(prediction, clip),
  };
}

/** From 1 to the smallest time, both of them exactly; 1 alone for a count of one. */
function spacedTimes(sde: Sde, spacing: SdeSpacing, smallest: number, count: number): number[] {
  const logSigma = (t: number) => Math.log(sde.level(t).noise / sde.level(t).signal);
  const between = (from: number, to: number, share: number) => from + share * (to - from);
  const at: Record<SdeSpacing, (share: number) => number> = {
    uniform: (share) => between(1, smallest, share),
    quadratic: (share) => between(1, Math.sqrt(smallest), share) ** 2,
    logSnr: (share) => sde.time(Math.exp(between(logSigma(1), logSigma(smallest), share))),
  };
  if (!Object.hasOwn(at, spacing))
    throw new Error(`sdePath: spacing is "${spacing}", want ${Object.keys(at).join(", ")}`);
  return Array.from({ length: count }, (_, k) => {
    if (k === 0) return 1;
    return k === count - 1 ? smallest : at[spacing](k / (count - 1));
  });
}
