// Sampling: the one loop over the steps of a sampler, as an async generator that can be watched and stopped.

import { type Conditioning, parameters } from "@pkg/nn";
import { type Backend, type RandomStream, type Shape, type Tensor, tidy } from "@pkg/tensor";
import type { Model } from "./model.ts";

/** Where a sampler's noise comes from: a random stream, or anything else that draws normals. */
export type NoiseSource = Pick<RandomStream, "normal">;

/** A way from noise to data, as pure steps. */
export interface Sampler {
  /** The step t of the schedule at which each of its steps calls the model, the noisiest first. */
  readonly times: readonly number[];
  /** One step: x at `times[index]` → x at the next, and the model's estimate of the data. */
  step(call: SamplerCall): { x: Tensor; denoised: Tensor };
}

/** What one step of a sampler gets. */
export interface SamplerCall {
  readonly x: Tensor;
  readonly index: number;
  /** The model's prediction for x at a step t, the same for the whole batch. */
  predict(x: Tensor, t: number): Tensor;
  readonly rng: NoiseSource;
}

/** The state after one step; its tensors live until the next is asked for (`keep` them to have them longer). */
export interface SampleStep {
  readonly x: Tensor;
  /** The estimate of x₀ at this step. */
  readonly denoised: Tensor;
  /** Steps done, from 1. */
  readonly step: number;
  readonly steps: number;
}

export interface SampleOptions extends Pick<Conditioning, "labels"> {
  /** Where to start instead of noise drawn from rng. */
  readonly start?: Tensor;
  /** Where to compute. Default: where the model's parameters are. */
  readonly backend?: Backend;
}

/**
 * Draws samples: starts from N(0, I) and yields after every step; the last one holds the samples. Leave the loop to cancel.
 * @param shape [batch, ...]
 * @throws Error when the model has no parameters and no backend is given
 */
export async function* sample(
  sampler: Sampler,
  model: Model,
  shape: Shape,
  rng: NoiseSource,
  { labels, start, backend = start?.backend ?? parameters(model)[0]?.backend }: SampleOptions = {},
): AsyncGenerator<SampleStep, void, void> {
  if (!backend) throw new Error("sample: the model has no parameters to tell its backend, want the backend option");
  const steps = sampler.times.length;
  const predict = (x: Tensor, t: number) => model.forward(x, new Array<number>(x.shape[0]).fill(t), { labels });
  let x = start ? start.detach() : rng.normal(shape, { backend });
  let inFlight = Promise.resolve();
  for (let index = 0; index < steps; index++) {
    const next = tidy(() => sampler.step({ x, index, predict, rng }));
    x.dispose();
    x = next.x;
    // One step is computed while the one before it is being waited for.
    const queued = backend.settled();
    await inFlight;
    inFlight = queued;
    if (index === steps - 1) await queued;
    yield { ...next, step: index + 1, steps };
    next.denoised.dispose();
  }
}

/** The last step of a run: its x are the samples. */
export async function finalSample(run: AsyncIterable<SampleStep>): Promise<Tensor> {
  let last: Tensor | undefined;
  for await (const { x } of run) last = x;
  if (!last) throw new Error("finalSample: the run has no steps, want at least one");
  return last;
}
