// Averages of a module's parameters that forget the past. How fast, ema.ts says.

import { Captures, emaStep, onFailure, region, type Tensor, wrongArgument } from "@pkg/tensor";
import { leavesOf } from "../module/leaves.ts";
import { assignState, checkState, type StateDict, stateDict } from "../module/module.ts";
import { isBuffer } from "../module/parameters.ts";

/** A moving average of a module's parameters, under the paths of its state. */
export interface Ema {
  /** average ← average + w · (parameter − average), with the next w. If it throws, nothing changes. */
  update(): void;
  /** The number of updates so far. */
  readonly updates: number;
  /** The averaged tensors, which the average owns, and the module's buffers. */
  state(): Map<string, Tensor>;
  /**
   * Continues from a saved average.
   * @throws ShapeError listing the entries that do not fit, Error for `updates` that are not an integer ≥ 0; nothing changes
   * then
   */
  load(state: StateDict, updates: number): void;
}

/**
 * @param name for errors
 * @param weightAt the weight of the parameters in the update after so many others
 */
export function movingAverage(name: string, module: object, weightAt: (updates: number) => number): Ema {
  const averages = new Map<string, Tensor>();
  for (const [path, tensor] of stateDict(module)) if (!isBuffer(tensor)) averages.set(path, tensor.detach());
  const state = () => new Map([...stateDict(module)].map(([path, own]) => [path, averages.get(path) ?? own]));
  const captures = new Captures("ema");
  let updates = 0;
  return {
    get updates() {
      return updates;
    },
    update() {
      captures.run(() => {
        const before = updates;
        onFailure(() => {
          updates = before;
        });
        const attrs = { weight: weightAt(updates) };
        updates++;
        const tensor = averages.values().next().value;
        if (!tensor) return;
        const what = () => ({ key: averages, same: leavesOf(module), inputs: [], attrs: [attrs] });
        region(tensor.backend, what, () => {
          for (const [path, parameter] of stateDict(module)) {
            const average = averages.get(path);
            if (average) average.assign(emaStep(average, parameter, attrs));
          }
        });
      });
    },
    state,
    load(from, count) {
      if (!(Number.isInteger(count) && count >= 0)) {
        throw wrongArgument(`${name}: load`, "updates", count, "an integer ≥ 0");
      }
      checkState(state(), from);
      assignState(averages, from);
      updates = count;
    },
  };
}
