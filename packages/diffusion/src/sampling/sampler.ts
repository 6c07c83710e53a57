// Sampling: the one loop over the steps of a sampler, as an async generator that can be watched, stopped and resumed.

import { backendOf, type Conditioning } from "@pkg/nn";
import {
  allOrNothing,
  type Backend,
  defaultBackend,
  nonFiniteCount,
  type RandomStream,
  type Shape,
  type Tensor,
} from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";
import type { Model } from "../model/model.ts";
import { checkOutput } from "../model/modelOutput.ts";
import { sampleSteps } from "./sampleStep.ts";

/** Where a sampler's noise comes from: a random stream, or anything else that draws normals. */
export type NoiseSource = Pick<RandomStream, "normal">;

/** A way from noise to data, as pure steps: all that one step hands to the next is x and `memory`. */
export interface Sampler {
  /** Where each step begins, and where the last one ends: one more than there are steps, usually the noisiest first. */
  readonly levels: readonly NoiseLevel[];
  /** The standard deviation of the noise that it starts from; 0 when it starts from data instead, which has to be given. */
  readonly prior: number;
  /** One step, from levels[index] to levels[index + 1]. */
  step(call: SamplerCall): SamplerResult;
}

/** What one step of a sampler gets. */
export interface SamplerCall {
  /** The noised samples, [batch, ...]. */
  readonly x: Tensor;
  /** Which step, from 0 on. */
  readonly index: number;
  /** What the step before left for this one; empty at the first. */
  readonly memory: readonly Tensor[];
  /**
   * The model's prediction for x at a level, the same for the whole batch.
   * @param numbers what the model is told besides the time, by name: the end r of a mean flow's step, or the length d of a shortcut's
   */
  predict(x: Tensor, level: NoiseLevel, numbers?: Readonly<Record<string, number>>): Tensor;
  /** Draws the noise of the step. */
  readonly rng: NoiseSource;
  /** What the samples are conditioned on; `predict` has it already. */
  readonly labels?: Conditioning["labels"];
}

/** The result of one step of a sampler. */
export interface SamplerResult {
  /** The samples at the next level, [batch, ...]. */
  readonly x: Tensor;
  /** The estimate of x₀ at this step. */
  readonly denoised: Tensor;
  /** What the next step needs besides x, [batch, ...] each: earlier estimates, for multistep methods. Default: nothing. */
  readonly memory?: readonly Tensor[];
}

/** Where a run stands between two steps: tensors and a number, all that is needed to go on (with the stream's own state). */
export interface SamplerState {
  /** Steps done. */
  readonly step: number;
  /** The samples, [batch, ...]. */
  readonly x: Tensor;
  /** What the next step gets as its memory. */
  readonly memory: readonly Tensor[];
}

/** The state after one step; its tensors live until the next is asked for (`keep` them to have them longer). */
export interface SampleStep extends SamplerState {
  /** The estimate of x₀ at this step. */
  readonly denoised: Tensor;
  /** The number of steps of the whole run. */
  readonly steps: number;
}

/** Where a run starts and ends, and how it is computed. */
export interface SampleOptions extends Pick<Conditioning, "labels"> {
  /** Where to go on, or from which x to start instead of noise drawn from rng. */
  readonly from?: Pick<SamplerState, "x"> & Partial<SamplerState>;
  /** How many steps are to be done when the run ends, counted from the sampler's first. Default: all. Go on with `finalState(run)` as `from`. */
  readonly until?: number;
  /** Where to compute. Default: where the model's parameters are. */
  readonly backend?: Backend;
}

/**
 * Draws samples: starts from N(0, prior² I), captures its steps (see `capture`), and yields after every step; the last one holds the samples. Leave the loop to cancel,
 * and give the last state as `from` to go on. A step that throws leaves the stream where the step before left it.
 * @param shape [batch, ...]
 * @throws Error for a shape without a batch, when the model has no parameters and no backend is given, when `from` does not fit or is
 * missing for a sampler that starts from data, and when the model's output or the samples are not finite
 * @example
 * ```ts
 * import { finalSample, gaussianOracle, heun, karras, oraclePath, sample, sigmaPath } from "@pkg/diffusion";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const backend = cpu();
 * const data = gaussianOracle({ mean: [1, -1], variance: 0.25 }); // its exact denoiser stands for a network
 * const path = oraclePath(sigmaPath(karras(18)), data);
 * const x = await finalSample(sample(heun(path), path.model, [4000, 2], randomStream(0), { backend }));
 * console.log((await x.mean(0).data()).map(Math.round)); // Float32Array(2) [1, -1]
 * console.log((await x.std().item()).toFixed(1)); // 1.1
 * ```
 */
export async function* sample(
  sampler: Sampler,
  model: Model,
  shape: Shape,
  rng: NoiseSource,
  options: SampleOptions = {},
): AsyncGenerator<SampleStep, void, void> {
  expectArguments("sample", { sampler, model, shape, rng, options });
  const { labels, from, backend = from?.x.backend ?? backendOf(model) ?? defaultBackend() } = options;
  if (!backend) throw new Error("sample: the model has no parameters to tell its backend, want the backend option");
  const steps = sampler.levels.length - 1;
  const { until = steps } = options;
  checkStart(shape, sampler, from, backend);
  checkUntil(until, from?.step ?? 0, steps);
  let x = from ? from.x.detach() : allOrNothing(() => rng.normal(shape, { backend }).mul(sampler.prior));
  let memory: readonly Tensor[] = from?.memory?.map((tensor) => tensor.detach()) ?? [];
  let inFlight = Promise.resolve();
  let denoised: Tensor | undefined;
  const stepper = sampleSteps({ sampler, model, rng, labels });
  try {
    for (let index = from?.step ?? 0; index < until; index++) {
      const { faulty, ...next } = stepper.step({ step: index, x, memory });
      const kept = new Set([next.x, ...next.memory]);
      for (const tensor of [x, ...memory]) if (!kept.has(tensor) && tensor !== next.denoised) tensor.dispose();
      ({ x, denoised, memory } = next);
      // One step is computed while the one before it is being waited for.
      const before = inFlight;
      inFlight = settle(backend, faulty[0], sampler.levels[index], index);
      inFlight.catch(() => {}); // awaited below, or one step later
      await before;
      if (index === until - 1) {
        await inFlight; // the model's fault first
        await checkSamples(x);
      }
      yield { x, memory, denoised, step: index + 1, steps };
      if (!kept.has(denoised)) denoised.dispose();
      denoised = undefined;
    }
  } catch (error) {
    // Nobody can go on from a run that failed: what it holds is freed.
    for (const tensor of new Set([x, ...memory, denoised])) tensor?.dispose();
    throw error;
  } finally {
    await Promise.allSettled([inFlight]); // and what its last look at the predictions holds
    stepper.dispose();
  }
}

/** The last step of a run: its x are the samples. What its sampler remembers is freed. */
export async function finalSample(run: AsyncIterable<Pick<SampleStep, "x"> & Partial<SampleStep>>): Promise<Tensor> {
  expectArguments("finalSample", { run });
  let last: (Pick<SampleStep, "x"> & Partial<SampleStep>) | undefined;
  for await (const step of run) last = step;
  if (!last) throw new Error("finalSample: the run has no steps, want at least one");
  for (const tensor of last.memory ?? []) if (tensor !== last.x) tensor.dispose();
  return last.x;
}

/** The state after the last step of a run, to be given to `sample` as `from` when the run was ended by `until`. */
export async function finalState(run: AsyncIterable<SampleStep>): Promise<SamplerState> {
  expectArguments("finalState", { run });
  let last: SampleStep | undefined;
  for await (const step of run) last = step;
  if (!last) throw new Error("finalState: the run has no steps, want at least one");
  const { step, x, memory } = last;
  return { step, x, memory };
}

/** Waits for a step, and looks at what the model gave in it. */
async function settle(backend: Backend, faulty: Tensor | undefined, { t }: NoiseLevel, index: number): Promise<void> {
  if (!faulty) return backend.settled();
  const count = await faulty.item().finally(() => faulty.dispose());
  checkOutput("sample", `step ${index} (t = ${t})`, count);
}

/** @throws Error for samples that are not finite though all that the model gave is: of a shift, a clip or a level out of float32 */
async function checkSamples(x: Tensor): Promise<void> {
  const faulty = nonFiniteCount([x]);
  const count = await faulty.item().finally(() => faulty.dispose());
  if (count > 0) throw new Error(`sample: ${count} elements of the samples are NaN or infinite, want finite ones`);
}

function checkUntil(until: number, done: number, steps: number): void {
  if (!(Number.isInteger(until) && until >= done && until <= steps))
    throw new Error(`sample: until is ${until}, want an integer in [${done}, ${steps}]`);
}

function checkStart(shape: Shape, { levels, prior }: Sampler, from: SampleOptions["from"], backend: Backend): void {
  if (shape.length === 0) throw new Error("sample: the shape is [], want [batch, ...]");
  if (!from && prior === 0) throw new Error("sample: the sampler starts from data, want it as from.x");
  if (!from) return;
  const steps = levels.length - 1;
  const { x, step = 0, memory = [] } = from;
  if (`${x.shape}` !== `${shape}`) throw new Error(`sample: from.x has shape [${x.shape}], want [${shape}]`);
  for (const [k, tensor] of [x, ...memory].entries()) {
    const name = k === 0 ? "from.x" : `from.memory[${k - 1}]`;
    if (tensor.backend !== backend)
      throw new Error(`sample: ${name} is on ${tensor.backend.name}, and the run on ${backend.name}, want one backend`);
    // What else it has to be is the sampler's to know.
    if (tensor.shape[0] !== shape[0])
      throw new Error(`sample: ${name} has shape [${tensor.shape}], want ${shape[0]} samples, [${shape[0]}, ...]`);
  }
  if (!(Number.isInteger(step) && step >= 0 && step <= steps))
    throw new Error(`sample: from.step is ${step}, want an integer in [0, ${steps}]`);
}
