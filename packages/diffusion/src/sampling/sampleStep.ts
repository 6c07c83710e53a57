// One step of a run as a function of its state: as it is, or captured once for every form of step.

import type { Conditioning } from "@pkg/nn";
import { allOrNothing, type Captured, capture, nonFiniteCount, perStep, type Tensor } from "@pkg/tensor";
import type { NoiseLevel } from "../forward/level.ts";
import { capturedModel } from "../model/capturedModel.ts";
import type { Model } from "../model/model.ts";
import { watchedModel } from "../model/modelOutput.ts";
import type { NoiseSource, Sampler, SamplerCall, SamplerState } from "./sampler.ts";

/** What a step gives. */
type StepResult = {
  readonly x: Tensor;
  readonly denoised: Tensor;
  readonly memory: readonly Tensor[];
  /** How many elements of what the model predicted are not finite, a scalar; none where it was not asked. */
  readonly faulty: readonly Tensor[];
};

/** The steps of a run. */
export interface SampleStepper {
  step(state: SamplerState): StepResult;
  /** Frees what captures hold. */
  dispose(): void;
}

export interface SteppedRun extends Pick<Conditioning, "labels"> {
  readonly sampler: Sampler;
  readonly model: Model;
  readonly rng: NoiseSource;
}

/** Steps that run as they are. */
export function plainSteps({ labels, ...run }: SteppedRun): SampleStepper {
  return {
    step: ({ step: index, x, memory }) => stepOf(run, { index, live: { index }, x, memory, labels }),
    dispose() {},
  };
}

/**
 * Steps with a capture for each form that the sampler tells; of a sampler that tells none, steps as they are of a captured model.
 * @throws Error from steps: what `capture` refuses
 */
export function capturedSteps({ labels, ...run }: SteppedRun): SampleStepper {
  const { sampler } = run;
  if (!sampler.form) {
    const model = capturedModel(run.model);
    return { ...plainSteps({ ...run, model, labels }), dispose: model.dispose };
  }
  type Arguments = [place: readonly number[], labels: readonly (number | null)[], ...state: Tensor[]];
  const captures = new Map<string, Captured<Arguments, StepResult>>();
  let index = 0;
  const capturedStep = () =>
    capture((...[place, given, x, ...memory]: Arguments): StepResult => {
      const live = perStep(() => ({ index: place[0] }));
      return stepOf(run, { index, live, x, memory, labels: labels && given });
    });
  return {
    step({ step, x, memory }) {
      index = step;
      const key = `${memory.length} ${sampler.form?.(index, memory.length)}`;
      const captured = captures.get(key) ?? capturedStep();
      captures.set(key, captured);
      return captured([index], labels ?? [], x, ...memory);
    },
    dispose() {
      for (const captured of captures.values()) captured.dispose();
    },
  };
}

function stepOf(
  { sampler, model, rng }: Omit<SteppedRun, "labels">,
  call: Omit<SamplerCall, "predict" | "rng">,
): StepResult {
  const { labels } = call;
  return allOrNothing(() => {
    const { forward, outputs } = watchedModel(model);
    const predict = (x: Tensor, level: NoiseLevel) => {
      const times = perStep(() => new Array<number>(x.shape[0]).fill(level.t));
      return forward(x, times, { labels });
    };
    const { x, denoised, memory = [] } = sampler.step({ ...call, predict, rng });
    return { x, denoised, memory, faulty: outputs.length > 0 ? [nonFiniteCount(outputs)] : [] };
  });
}
