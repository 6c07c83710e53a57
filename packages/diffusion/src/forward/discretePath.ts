// The path of a schedule's steps, or between them.

import { expectArguments } from "../arguments.ts";
import { convertAtStep } from "../model/parameterization.ts";
import { expectClip, expectPrediction, expectWord } from "../optionWords.ts";
import { noiseVarianceAt, type Schedule } from "../schedule/schedule.ts";
import { type Spacing, spacedTimes } from "../schedule/spacing.ts";
import { levelAt, type NoiseLevel, sigmaOf } from "./level.ts";
import { checkFalling, clipped, type NoisePath, type PathOptions, scoreReading } from "./path.ts";

/** A path whose levels are steps of a schedule. */
export interface DiscretePath extends NoisePath {
  /** The schedule whose steps the levels are. */
  readonly schedule: Schedule;
}

/** The steps or levels of a schedule that a path visits. */
export interface DiscretePathOptions extends PathOptions {
  /** How many steps of the schedule to visit. Default: all. */
  readonly steps?: number;
  /** Default "leading". A single step is the last one whatever the spacing: the run starts from noise, which only that step is. */
  readonly spacing?: Spacing;
  /** What is added to each spaced step, from 0 on: 1 in Stable Diffusion with "leading" (`steps_offset` of diffusers). Default 0. */
  readonly offset?: number;
  /** The steps to visit instead, the noisiest first. */
  readonly times?: readonly number[];
  /** The levels to visit instead, by their σ, falling (`karras(18, …)`): between two steps the model is asked at a fraction. */
  readonly sigmas?: readonly number[];
  /** Where the last step leads: to the data (default), or to the level of step 0, as DPM-Solver's authors evaluate; no step leads
   *  from there. */
  readonly end?: "data" | "first step";
}

/**
 * The σ of a level that has no signal (ᾱ_T = 0): samplers divide by the signal. diffusers has the same, also where the step before has
 * a larger one, so that σ rises there and stochastic samplers take roots of negative variances; ours is larger then.
 */
const SILENT_SIGMA = 4096;

/**
 * The path of a schedule: x_t = √ᾱ_t x₀ + √(1 − ᾱ_t) ε, started from N(0, I).
 * @param options prediction: "noise" by default
 * @throws Error for steps out of range, and times or σ that do not fall
 */
export function discretePath(schedule: Schedule, options: DiscretePathOptions = {}): DiscretePath {
  expectArguments("discretePath", { schedule, options });
  const { prediction = "noise", clip = false, end = "data" } = options;
  const table = levelsWithSignal(schedule);
  const sigmas = table.map(sigmaOf);
  const at = (sigma: number) => between(sigmas, sigma);
  const chosen = options.sigmas
    ? checkFalling("discretePath", "sigmas", options.sigmas).map(at)
    : checkFalling("discretePath", "times", options.times ?? timesOf(schedule, options)).map((t) => {
        if (t === -1) throw new Error("discretePath: times has −1, the data, where paths end anyway: want steps alone");
        noiseVarianceAt(schedule, t); // refuses what is no step
        return table[t];
      });
  expectPrediction("discretePath", prediction);
  expectClip("discretePath", clip);
  expectWord("discretePath", "end", end, ["data", "first step"]);
  const read = (to: "data" | "noise"): NoisePath["denoise"] => {
    return (predicted, x, level) => convertAtStep(schedule, level, predicted, { from: prediction, to, x });
  };
  const data = read("data");
  return {
    schedule,
    levels: ended(chosen, end === "data" ? levelAt(schedule, -1) : table[0]),
    prior: 1,
    at,
    denoise: (predicted, x, level) => clipped(data(predicted, x, level), clip),
    isClipped: clip !== false,
    noise: read("noise"),
    score: scoreReading(prediction, clip),
  };
}

/**
 * The levels of a path, but without any signal where the schedule has none (ᾱ = 0): for solvers that never divide by it.
 * @returns the path's own levels where it has no schedule
 */
export function scheduledLevels(path: NoisePath & Partial<Pick<DiscretePath, "schedule">>): readonly NoiseLevel[] {
  const { schedule, levels } = path;
  const isSilent = ({ t }: NoiseLevel) => Number.isInteger(t) && schedule?.alphaBars[t] === 0;
  return levels.map((level) => (schedule && isSilent(level) ? levelAt(schedule, level.t) : level));
}

function timesOf(schedule: Schedule, { steps = schedule.steps, spacing, offset = 0 }: DiscretePathOptions): number[] {
  const spaced = spacedTimes(schedule.steps, steps, spacing);
  if (!(Number.isInteger(offset) && offset >= 0))
    throw new Error(`discretePath: offset is ${offset}, want an integer from 0 on`);
  if (spaced[0] + offset >= schedule.steps)
    throw new Error(
      `discretePath: offset is ${offset} for steps up to ${spaced[0]} of ${schedule.steps}, want at most ${schedule.steps - 1 - spaced[0]}`,
    );
  return steps === 1 ? [schedule.steps - 1] : spaced.map((t) => t + offset);
}

/** The level at a σ among those of a schedule: t is linear in log σ between two steps, and ends at the ends. */
function between(sigmas: readonly number[], sigma: number): NoiseLevel {
  if (!(sigma > 0 && Number.isFinite(sigma))) throw new Error(`path: σ is ${sigma}, want a positive number`);
  const level = preserving(sigma);
  if (sigmas[0] >= sigma) return { ...level, t: 0 };
  if (sigmas[sigmas.length - 1] < sigma) return { ...level, t: sigmas.length - 1 };
  let [below, above] = [0, sigmas.length - 1]; // σ_below < σ ≤ σ_above, by halves: solvers that integrate ask thousands of times
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (sigmas[middle] >= sigma) above = middle;
    else below = middle;
  }
  const [low, high] = [sigmas[below], sigmas[above]].map(Math.log);
  return { ...level, t: below + (Math.log(sigma) - low) / (high - low) };
}

/** Levels with the one at the end after them, unless they end there but for rounding. @throws Error when below it, or without a step */
function ended(levels: readonly NoiseLevel[], last: NoiseLevel): readonly NoiseLevel[] {
  const [before, end] = [levels[levels.length - 1], last].map(sigmaOf);
  if (before < end * (1 - 1e-9))
    throw new Error(`discretePath: σ falls to ${before}, want at least the first step's, ${end}`);
  if (before > end * (1 + 1e-9)) return [...levels, last];
  if (levels.length === 1) throw new Error("discretePath: from the first step to itself, want a step above it");
  return levels;
}

/** The level of each step, σ rising: without a signal (ᾱ = 0), where any large σ will do, at least twice that of the step before. */
function levelsWithSignal(schedule: Schedule): readonly NoiseLevel[] {
  const levels: NoiseLevel[] = [];
  for (let t = 0; t < schedule.steps; t++) {
    const level = levelAt(schedule, t);
    const least = t === 0 ? SILENT_SIGMA : Math.max(SILENT_SIGMA, 2 * sigmaOf(levels[t - 1]));
    levels.push(level.signal > 0 ? level : { ...level, ...preserving(least) });
  }
  return levels;
}

/** The signal and noise of σ where their squares add up to 1. */
function preserving(sigma: number): Pick<NoiseLevel, "signal" | "noise"> {
  const signal = 1 / Math.hypot(1, sigma);
  return { signal, noise: sigma * signal };
}
