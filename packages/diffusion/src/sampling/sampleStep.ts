// One step of a run as a function of its state, captured.

import type { Conditioning } from "@pkg/nn";
import { Captures, nonFiniteCount, type Tensor } from "@pkg/tensor";
import type { NoiseLevel } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import { watchedModel } from "../model/modelOutput.ts";
import type { NoiseSource, Sampler, SamplerState } from "./sampler.ts";

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
        const predict = (x: Tensor, level: NoiseLevel) =>
          forward(x, new Array<number>(x.shape[0]).fill(level.t), { labels });
        const result = sampler.step({ x: start, index, memory: kept, predict, rng, labels });
        const { x, denoised, memory = [] } = result;
        return { x, denoised, memory, faulty: outputs.length > 0 ? [nonFiniteCount(outputs)] : [] };
      }),
    dispose: () => captures.dispose(),
  };
}
