// Respacing: a schedule of some of another's steps, and the model that goes with it.

import { Tensor } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { posterior } from "../forward/posterior.ts";
import type { Model } from "../model/model.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "./schedule.ts";
import { atSteps, checkSteps } from "./tables.ts";

/** A schedule whose step k is the jump over several steps of another. */
export interface RespacedSchedule extends Schedule {
  /** Step k goes from t to tPrevious of the original schedule; −1 is the data. A model trained on the original knows it as t. */
  readonly pairs: readonly (readonly [t: number, tPrevious: number])[];
}

/**
 * The schedule that visits only the given steps, with their ᾱ: β_k = 1 − ᾱ_t / ᾱ_tPrevious (Nichol & Dhariwal 2021, eq. 19).
 * Everything that takes a schedule takes this one, with times 0 … n − 1; `respacedModel` tells the model the original ones.
 * @param times steps of the schedule in any order, such as `spacedTimes(1000, 50)`
 * @throws Error for no steps, one twice, or one out of range
 */
export function respace(schedule: Schedule, times: readonly number[]): RespacedSchedule {
  expectArguments("respace", { schedule });
  expectKind("respace", "steps", times, "times");
  if (times.length === 0) throw new Error("respace: no times, want at least one");
  const kept = [...times].sort((a, b) => a - b);
  const twice = kept.find((t, k) => t === kept[k - 1]);
  if (twice !== undefined) throw new Error(`respace: times has ${twice} twice, want each step once`);
  if (kept[0] === -1) throw new Error("respace: times has −1, which is the data, want steps of the schedule");
  const pairs = kept.map((t, k) => [t, kept[k - 1] ?? -1] as const);
  return {
    steps: kept.length,
    betas: Float64Array.from(pairs, ([t, to]) => posterior(schedule, t, to).beta),
    alphaBars: Float64Array.from(kept, (t) => alphaBarAt(schedule, t)),
    noiseVariances: Float64Array.from(kept, (t) => noiseVarianceAt(schedule, t)),
    pairs,
  };
}

/** A model that was trained on the original schedule, asked by steps of the respaced one. */
export function respacedModel(model: Model, schedule: RespacedSchedule): Model & { readonly model: Model } {
  expectArguments("respacedModel", { model });
  expectKind("respacedModel", "respaced", schedule, "schedule");
  const { pairs } = schedule;
  return {
    model,
    forward(x, times, conditioning) {
      checkSteps("respacedModel", schedule, times, x);
      if (!(times instanceof Tensor)) {
        const original = times.map((k) => pairs[k][0]);
        return model.forward(x, original, conditioning);
      }
      const known = atSteps(schedule, x, times, { key: "original step", at: (k) => pairs[k][0] });
      // A step out of range stays one: NaN would be cast to 0.
      const original = known.isNaN().where(-1, known).cast("int32");
      return model.forward(x, original, { ...conditioning, steps: pairs[pairs.length - 1][0] + 1 });
    },
  };
}
