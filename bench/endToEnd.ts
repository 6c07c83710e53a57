// Whole training steps and sampling of the U-Nets for MNIST and CIFAR-10, timed on each backend.
import { cosine, ddim, finalSample, linear, noisePrediction, type Schedule, sample } from "@pkg/diffusion";
import { adamW, ema, parameterCount, parameters, unet } from "@pkg/nn";
import { type Backend, randomStream, tidy } from "@pkg/tensor";
import { CIFAR_UNET, MNIST_UNET } from "./cases/training.ts";
import { countCalls, type DeviceCalls } from "./gpuDevice.ts";
import type { Effort, Missing } from "./measure.ts";
import { type Spread, spread } from "./statistics.ts";

/** A backend with what is needed to see into it. */
export interface Stage {
  readonly label: string;
  readonly backend: Backend;
  readonly expectedRate: number;
  /** Of the WebGPU backend. */
  readonly device?: GPUDevice;
}

/** What a network costs on one backend. Times in milliseconds. */
export interface EndToEnd {
  readonly network: string;
  readonly backend: string;
  readonly batch: number;
  readonly parameters: number;
  /** The first training step, with all compilation. */
  readonly firstStep: number;
  /** Forward, backward, AdamW with clipping, average. */
  readonly trainStep: Spread;
  /** JavaScript in a training step, before the device is waited for. */
  readonly encode: number;
  /** Ops a training step runs. */
  readonly ops: number;
  /** Bytes that a training step asks its backend for, mostly given back and taken again. */
  readonly allocatedBytes: number;
  /** The most bytes that tensors held at once in training. */
  readonly peakBytes: number;
  /** What a training step asks of the device. */
  readonly calls?: DeviceCalls;
  /** Samples drawn at once, the steps of DDIM that were timed, and how long they took together. */
  readonly sampling: { readonly batch: number; readonly steps: number; readonly total: number };
}

interface Network {
  readonly network: typeof MNIST_UNET;
  readonly schedule: Schedule;
  readonly batch: number;
  readonly sampleBatch: number;
}

const NETWORKS: readonly Network[] = [
  { network: MNIST_UNET, schedule: cosine(1000), batch: 64, sampleBatch: 16 },
  { network: CIFAR_UNET, schedule: linear(1000), batch: 128, sampleBatch: 64 },
];

/** Times the networks that a backend can train in reasonable time. */
export async function measureEndToEnd(
  filter: string,
  stages: readonly Stage[],
  { mostStepTime, samples, sampleSteps }: Effort,
): Promise<{ networks: EndToEnd[]; failures: Missing[]; absent: Missing[] }> {
  const [networks, failures, absent]: [EndToEnd[], Missing[], Missing[]] = [[], [], []];
  for (const given of NETWORKS.filter(({ network: { name } }) => name.includes(filter))) {
    const { network, batch } = given;
    for (const stage of stages) {
      const entry = { name: network.name, size: `batch ${batch}`, backend: stage.label };
      const expected = (3 * network.flopPerImage * batch * 1000) / stage.expectedRate;
      if (expected > mostStepTime) {
        absent.push({ ...entry, reason: "too slow for this size" });
        continue;
      }
      try {
        networks.push(await measureNetwork(given, stage, samples, sampleSteps));
      } catch (error) {
        failures.push({ ...entry, reason: error instanceof Error ? error.message : String(error) });
      }
    }
  }
  return { networks, failures, absent };
}

async function measureNetwork(
  { network: { name, config, side }, schedule, batch, sampleBatch }: Network,
  { label, backend, device }: Stage,
  samples: number,
  sampleSteps: number,
): Promise<EndToEnd> {
  const rng = randomStream(0);
  const model = unet(config, { backend, rng: rng.split("weights") });
  const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
  const average = ema(model, 0.999);
  const x0 = rng.normal([batch, side, side, config.inChannels], { backend });
  const train = () =>
    tidy(() => {
      optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
    });
  const step = async () => {
    const began = performance.now();
    train();
    const encoded = performance.now();
    await backend.settled();
    return { total: performance.now() - began, encode: encoded - began };
  };
  const { total: firstStep } = await step();
  const { ops, allocatedBytes } = countOps(backend, train);
  await backend.settled();
  const calls = device && countCalls(device, train);
  await backend.settled();
  const timed = [];
  for (let k = 0; k < samples; k++) timed.push(await step());
  const { peakBytes } = backend.memory();

  const shape = [sampleBatch, side, side, config.inChannels];
  const draw = async (steps: number) =>
    (await finalSample(sample(ddim(schedule, { steps }), model, shape, rng))).dispose();
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
    trainStep: spread(timed.map(({ total }) => total)),
    encode: spread(timed.map(({ encode }) => encode)).median,
    ops,
    allocatedBytes,
    peakBytes,
    ...(calls && { calls }),
    sampling,
  };
  for (const tensor of [x0, ...parameters(model), ...average.state().values(), ...optimizer.state().values()])
    tensor.dispose();
  return result;
}

/** How many ops a piece of work runs, and the bytes it asks for. */
function countOps(backend: Backend, work: () => void): { ops: number; allocatedBytes: number } {
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
    work();
  } finally {
    Object.assign(backend, { run, allocate });
  }
  return counts;
}
