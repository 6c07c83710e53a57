// Samplers whose step is one call: of a model that predicts the mean velocity over the whole step.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";
import type { Sampler } from "../sampling/sampler.ts";

/** Where the steps of a mean flow begin. */
export interface MeanFlowSteps {
  /** How many steps of equal length lead from t = 1 to 0. Default 1. */
  readonly steps?: number;
  /** The times to visit instead, falling, in (0, 1]; the data, t = 0, follow. */
  readonly times?: readonly number[];
}

/**
 * z_r = z_t − (t − r) u(z_t, r, t): each step is one call of a model that was trained by `meanFlowLoss` or `improvedMeanFlowLoss`, from
 * noise to data in one step or in a few (Geng et al. 2025, eq. 12). x̂₀ is z_t − t u, which is exact where the step ends at the data.
 * @throws Error for steps that are no positive integer, for steps beside times, and times that do not fall or are out of (0, 1]
 */
export function meanFlow(options: MeanFlowSteps = {}): Sampler {
  expectArguments("meanFlow", { options });
  const { steps, times } = options;
  if (steps !== undefined && times) throw new Error(`meanFlow: steps is ${steps} beside times, want one of them`);
  if (times) return sampler(checkedTimes(times), (_, r) => ({ r }));
  return sampler(equalTimes("meanFlow", steps ?? 1), (_, r) => ({ r }));
}

/**
 * x_{t−d} = x_t − d s(x_t, t, d) with d = 1 / steps: each step is one call of a model that was trained by `shortcutLoss` (Frans et al.
 * 2025, algorithm 2, whose time runs from noise to data).
 * @param options steps: a power of two, since other lengths are not trained; by default 1
 * @throws Error for another number of steps
 */
export function shortcut(options: { readonly steps?: number } = {}): Sampler {
  expectArguments("shortcut", { options });
  const { steps = 1 } = options;
  const times = equalTimes("shortcut", steps);
  if (!Number.isInteger(Math.log2(steps)))
    throw new Error(`shortcut: steps is ${steps}, want a power of two, as the lengths that are trained`);
  return sampler(times, () => ({ d: 1 / steps }));
}

/** @param told what the model is told besides the time t where a step begins, by t and the time r where it ends */
function sampler(times: readonly number[], told: (t: number, r: number) => Readonly<Record<string, number>>): Sampler {
  const levels = [...times, 0].map((t): NoiseLevel => ({ t, signal: 1 - t, noise: t }));
  return {
    levels,
    prior: 1,
    step({ x, index, predict }) {
      const [{ t }, { t: r }] = [levels[index], levels[index + 1]];
      const velocity = predict(x, levels[index], told(t, r));
      const after = (end: number): Tensor => weightedSum([x, velocity], [1, end - t]);
      const next = after(r);
      return { x: next, denoised: r === 0 ? next : after(0) };
    },
  };
}

function equalTimes(name: string, steps: number): number[] {
  if (!(Number.isInteger(steps) && steps >= 1)) throw new Error(`${name}: steps is ${steps}, want a positive integer`);
  return Array.from({ length: steps }, (_, k) => 1 - k / steps);
}

function checkedTimes(given: readonly number[]): readonly number[] {
  expectKind("meanFlow", "steps", given, "times");
  const times = Array.from(given);
  if (times.length === 0) throw new Error("meanFlow: no times, want at least one");
  const wrong = times.findIndex(
    (t, k) => !(Number.isFinite(t) && t > 0 && t <= (k === 0 ? 1 : times[k - 1]) && t !== times[k - 1]),
  );
  if (wrong !== -1) throw new Error(`meanFlow: times[${wrong}] is ${times[wrong]}, want falling numbers in (0, 1]`);
  return times;
}
