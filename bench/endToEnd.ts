// Whole training steps and sampling of the U-Nets for MNIST and CIFAR-10, timed on each backend.
import { contains } from "@pkg/command";
import {
  cosine,
  ddim,
  discretePath,
  finalSample,
  linear,
  noisePrediction,
  type Schedule,
  sample,
} from "@pkg/diffusion";
import { adamW, ema, parameterCount, parameters, unet } from "@pkg/nn";
import { type Backend, capture, randomStream, tidy, tune, type WebgpuBackend, type WebgpuCounters } from "@pkg/tensor";
import { CIFAR_UNET, MNIST_UNET } from "./cases/training.ts";
import type { Manner } from "./contender.ts";
import type { Effort, Missing } from "./measure.ts";
import { type Spread, spread } from "./statistics.ts";

/** A backend with what is needed to see into it. */
export interface Stage extends Manner {
  readonly label: string;
  readonly backend: Backend;
  readonly expectedRate: number;
  /** The backend again where it is WebGPU, which counts what it asks of its device. */
  readonly gpu?: WebgpuBackend;
}

/** Milliseconds of a repeated step. */
export interface StepTime {
  /** Until the device is done. */
  readonly trainStep: Spread;
  /** JavaScript, before the device is waited for. */
  readonly encode: number;
  /** What one step asks of the device. */
  readonly calls?: WebgpuCounters;
}

/** What a network costs on one backend. Times in milliseconds; a step is forward, backward, AdamW with clipping, and average. */
export interface EndToEnd extends StepTime {
  readonly network: string;
  readonly backend: string;
  readonly batch: number;
  readonly parameters: number;
  /** The first training step, with all compilation. */
  readonly firstStep: number;
  /** Ops a training step runs. */
  readonly ops: number;
  /** Bytes that a training step asks its backend for, mostly given back and taken again. */
  readonly allocatedBytes: number;
  /** The most bytes that tensors held at once in training. */
  readonly peakBytes: number;
  /** The same step in one `capture`, on WebGPU: the update of the weights and that of their average together. */
  readonly captured?: StepTime;
  /** Samples drawn at once, the steps of DDIM that were timed, and how long they took together. */
  readonly sampling: { readonly batch: number; readonly steps: number; readonly total: number };
}

export interface Network {
  readonly network: typeof MNIST_UNET;
  readonly schedule: Schedule;
  readonly batch: number;
  readonly sampleBatch: number;
}

export const NETWORKS: readonly Network[] = [
  { network: MNIST_UNET, schedule: cosine(1000), batch: 64, sampleBatch: 16 },
  { network: CIFAR_UNET, schedule: linear(1000), batch: 128, sampleBatch: 64 },
];

/** Times the networks that a backend can train in reasonable time, and tells of each when it is done. */
export async function measureEndToEnd(
  filter: string,
  stages: readonly Stage[],
  { mostStepTime, samples, sampleSteps }: Effort,
  onNetwork: (done: EndToEnd) => void = () => {},
): Promise<{ networks: EndToEnd[]; failures: Missing[]; absent: Missing[] }> {
  const [networks, failures, absent]: [EndToEnd[], Missing[], Missing[]] = [[], [], []];
  for (const given of NETWORKS.filter(({ network: { name } }) => contains(name, filter))) {
    const { network, batch } = given;
    for (const stage of stages) {
      const entry = { name: network.name, size: `batch ${batch}`, backend: stage.label };
      const expected = (3 * network.flopPerImage * batch * 1000) / stage.expectedRate;
      if (expected > mostStepTime) {
        absent.push({ ...entry, reason: "too slow for this size" });
        continue;
      }
      try {
        const done = await measureNetwork(given, stage, samples, sampleSteps);
        networks.push(done);
        onNetwork(done);
      } catch (error) {
        failures.push({ ...entry, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  }
  return { networks, failures, absent };
}

/** Times one network on one backend. @throws Error what its steps throw */
export async function measureNetwork(
  { network: { name, config, side }, schedule, batch, sampleBatch }: Network,
  { label, backend, gpu, isTuned, isMixed }: Stage,
  samples: number,
  sampleSteps: number,
): Promise<EndToEnd> {
  const rng = randomStream(0);
  const model = unet(config, { backend, rng: rng.split("weights") });
  const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1, lossScaling: isMixed });
  const average = ema(model, 0.999);
  const x0 = rng.normal([batch, side, side, config.inChannels], { backend });
  const train = () =>
    tidy(() => {
      const loss = optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
      return loss;
    });
  const step = async (run: () => { dispose(): void }) => {
    const before = performance.now();
    run().dispose();
    const encoded = performance.now();
    await backend.settled();
    return { total: performance.now() - before, encode: encoded - before };
  };
  const timeSteps = async (run: () => { dispose(): void }): Promise<StepTime> => {
    const before = gpu?.counters();
    await step(run);
    const after = gpu?.counters();
    const timed = [];
    for (let k = 0; k < samples; k++) timed.push(await step(run));
    return {
      trainStep: spread(timed.map(({ total }) => total)),
      encode: spread(timed.map(({ encode }) => encode)).median,
      ...(before && after && { calls: callsBetween(before, after) }),
    };
  };
  const { total: firstStep } = await step(train);
  if (isTuned) await tune(backend, () => train().dispose());
  const { ops, allocatedBytes } = countOps(backend, train);
  await backend.settled();
  for (let k = 0; k < 2; k++) await step(train); // the first replay still makes pipelines of its own
  const plain = await timeSteps(train);
  const { peakBytes } = backend.memory();

  let captured: StepTime | undefined;
  if (gpu) {
    const replayed = capture(train);
    for (let k = 0; k < 3; k++) await step(replayed);
    replayed().dispose();
    await step(replayed);
    captured = await timeSteps(replayed);
    replayed.dispose();
  }

  const shape = [sampleBatch, side, side, config.inChannels];
  const draw = async (steps: number) =>
    (await finalSample(sample(ddim(discretePath(schedule, { steps, clip: true })), model, shape, rng))).dispose();
  await draw(1);
  const began = performance.now();
  await draw(sampleSteps);
  await backend.settled();
  const sampling = { batch: sampleBatch, steps: sampleSteps, total: performance.now() - began };
  const result = {
    network: name,
    backend: label,
    batch,
    parameters: parameterCount(model),
    firstStep,
    ...plain,
    ops,
    allocatedBytes,
    peakBytes,
    ...(captured && { captured }),
    sampling,
  };
  for (const tensor of [x0, ...parameters(model), ...average.state().values(), ...optimizer.state().values()])
    tensor.dispose();
  return result;
}

function callsBetween(before: WebgpuCounters, after: WebgpuCounters): WebgpuCounters {
  const names = Object.keys(after) as (keyof WebgpuCounters)[];
  const calls = { ...after };
  return Object.assign(calls, Object.fromEntries(names.map((name) => [name, after[name] - before[name]])));
}

/** How many ops a piece of work runs, and the bytes it asks for. */
function countOps(backend: Backend, work: () => { dispose(): void }): { ops: number; allocatedBytes: number } {
  const { run, allocate } = backend;
  const counts = { ops: 0, allocatedBytes: 0 };
  const watched: Pick<Backend, "run" | "allocate"> = {
    run(op, outputs, inputs, attrs) {
      counts.ops++;
      run.call(backend, op as never, outputs, inputs, attrs); // `call` forgets that op and attrs belong together
    },
    allocate(size, dtype, name) {
      counts.allocatedBytes += 4 * size;
      return allocate.call(backend, size, dtype, name);
    },
  };
  Object.assign(backend, watched);
  try {
    work().dispose();
  } finally {
    Object.assign(backend, { run, allocate });
  }
  return counts;
}
