// One step of a run as a function of its state, captured.

import type { Conditioning } from "@pkg/nn";
import { Captures, nonFiniteCount, type Tensor } from "@pkg/tensor";
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

/** The steps of a run, each all or nothing. */
export function sampleSteps({ sampler, model, rng, labels }: SteppedRun): SampleStepper {
  const captures = new Captures("sample");
  return {
    step: ({ step: index, x: start, memory: kept }) =>
      captures.run(() => {
        const { forward, outputs } = watchedModel(model);
        const predict: SamplerCall["predict"] = (x, level, numbers) => {
          const each = (value: number) => new Array<number>(x.shape[0]).fill(value);
          return forward(x, each(level.t), { labels, ...(numbers && { numbers: mapped(numbers, each) }) });
        };
        const result = sampler.step({ x: start, index, memory: kept, predict, rng, labels });
        const { x, denoised, memory = [] } = result;
        return { x, denoised, memory, faulty: outputs.length > 0 ? [nonFiniteCount(outputs)] : [] };
      }),
    dispose: () => captures.dispose(),
  };
}

function mapped(
  numbers: Readonly<Record<string, number>>,
  each: (value: number) => number[],
): Record<string, number[]> {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, each(value)]));
}
