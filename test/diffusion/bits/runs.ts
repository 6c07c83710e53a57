// Runs of samplers as cases: x and the estimate of the data at the end and in two states before, and where the stream stands afterwards.
import { type Model, type SampleOptions, type Sampler, sample } from "@pkg/diffusion";
import type { Backend, RandomStream } from "@pkg/tensor";
import { type BitCase, joined, type Numbers, standing, stream } from "./digest.ts";
import { LABELS, labelledNet } from "./models.ts";

export interface Run {
  readonly sampler: Sampler;
  readonly model: Model;
  readonly shape?: readonly number[];
  readonly options?: SampleOptions;
}

/** A run, begun with a stream whose first draws it may have taken. */
export function run(of: (backend: Backend, rng: RandomStream) => Run | Promise<Run>): BitCase {
  return async (backend) => {
    const rng = stream();
    const { sampler, model, shape = [5, 2], options } = await of(backend, rng);
    const found: Record<string, Numbers> = {};
    for await (const { step, steps, x, denoised } of sample(sampler, model, shape, rng, { backend, ...options })) {
      const name = step === steps ? "last" : step === Math.ceil(steps / 2) ? "middle" : step === 1 ? "first" : "";
      if (name) found[name] = await joined([x, denoised]);
    }
    return { ...found, stream: standing(rng) };
  };
}

/** A run of a network with labels on five points. */
export function labelled(sampler: () => Sampler, of: (net: Model, backend: Backend) => Model = (net) => net): BitCase {
  return run((backend) => ({
    sampler: sampler(),
    model: of(labelledNet(backend), backend),
    options: { labels: LABELS },
  }));
}
