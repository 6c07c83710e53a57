// The path of a flow: levels at times t of an interpolant, from noise at t = 1 to the data at t = 0.

import { expectArguments, expectKind } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";
import { checkFalling, levelReadings, type NoisePath, type PathOptions } from "../forward/path.ts";
import type { Prediction } from "../model/parameterization.ts";
import { expectClip, expectPrediction } from "../optionWords.ts";
import { type Interpolant, linearInterpolant } from "./interpolant.ts";
import { shiftedTime } from "./timeLaws.ts";

/** A path whose levels are times of an interpolant. */
export interface FlowPath extends NoisePath {
  /** The interpolant whose times the levels are. */
  readonly interpolant: Interpolant;
  /** The time of each level, falling; 0 for the data. */
  readonly times: readonly number[];
}

/** The times that a flow visits, and how a model's prediction is read there. */
export interface FlowPathOptions extends PathOptions {
  /** How many steps, between times 1 − k / steps. Default 50. */
  readonly steps?: number;
  /** The times to visit instead, falling, in (0, 1]. */
  readonly times?: readonly number[];
  /** s of t′ = s t / (1 + (s − 1) t), which moves the times of `steps` (Esser et al. 2024, eq. 23). Default 1. */
  readonly shift?: number;
  /** Default: `linearInterpolant()`. */
  readonly interpolant?: Interpolant;
  /** What the model predicts. Default "flow": dx/dt. */
  readonly prediction?: Exclude<Prediction, "mean">;
}

/** σ / α of the level at t = 1, where there is no signal: solvers divide by it. Such a level is t = 1 in float32. */
const SILENT_SIGMA = 2 ** 20;

/**
 * x_t = α(t) x₀ + σ(t) ε at falling times t, ended at the data and started from N(0, σ(1)² I), for every solver, guidance, likelihood and
 * editing function that takes a path. `euler` on it is x′ = x + (t′ − t) u on the linear interpolant, its default. Models get t itself.
 * @throws Error for steps, times or a shift out of range
 * @example
 * ```ts
 * import { eightGaussians, euler, finalSample, flowPath, oraclePath, sample } from "@pkg/diffusion";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const path = oraclePath(flowPath({ steps: 100 }), eightGaussians()); // the exact velocity stands for a network
 * const x = await finalSample(sample(euler(path), path.model, [500, 2], randomStream(0), { backend: cpu() }));
 * console.log((await x.square().sum(1).sqrt().mean().item()).toFixed(1)); // 2.0
 * ```
 */
export function flowPath(options: FlowPathOptions = {}): FlowPath {
  expectArguments("flowPath", { options });
  const { steps = 50, shift = 1, interpolant = linearInterpolant(), prediction = "flow", clip = false } = options;
  expectArguments("flowPath", { interpolant });
  if (!(Number.isInteger(steps) && steps >= 1)) throw new Error(`flowPath: steps is ${steps}, want a positive integer`);
  if (!(shift > 0 && Number.isFinite(shift))) throw new Error(`flowPath: shift is ${shift}, want a positive number`);
  if (options.times && shift !== 1) throw new Error("flowPath: both times and shift are given, want one of them");
  expectPrediction("flowPath", prediction, false);
  expectClip("flowPath", clip);
  const even = () => Array.from({ length: steps }, (_, k) => shiftedTime(1 - k / steps, shift));
  const times = checkTimes(options.times ?? even());
  const silent = (t: number): NoiseLevel => ({ ...interpolant.level(interpolant.time(SILENT_SIGMA)), t });
  const levelAt = (t: number): NoiseLevel => {
    const level = interpolant.level(t);
    return level.noise > SILENT_SIGMA * level.signal ? silent(t) : level;
  };
  return {
    interpolant,
    times: [...times, 0],
    levels: [...times.map(levelAt), { t: 0, signal: 1, noise: 0 }],
    prior: interpolant.level(1).noise,
    at: (sigma) => interpolant.level(interpolant.time(sigma)),
    ...levelReadings(prediction, clip),
  };
}

function checkTimes(times: readonly number[]): readonly number[] {
  expectKind("flowPath", "steps", times, "times");
  const wrong = times.find((t) => !(t > 0 && t <= 1));
  if (wrong !== undefined) throw new Error(`flowPath: times has ${wrong}, want numbers in (0, 1]`);
  return checkFalling("flowPath", "times", times);
}
