// `node tools/run.mjs bench/hostCost.ts`: what a training step and a sampling step, written as README writes them, cost the host on Dawn's
// null backend, whose kernels do nothing. Replayed steps and those of a backend without capture run in turn.
import { cosine, discretePath, dpmSolverPlusPlus, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, unet } from "@pkg/nn";
import { keep, randomStream, tidy, type WebgpuBackend, webgpu } from "@pkg/tensor";
import { sampleSteps } from "../packages/diffusion/src/sampling/sampleStep.ts";

const WARM = 20;
const SAMPLES = 80;
const MNIST = { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 }; // the U-Net of endToEnd.ts
const SHAPE = [8, 28, 28, 1]; // that device has 512 MiB; the cost to the host does not depend on the batch

/** A program's steps, in microseconds, and the dispatches of the last. */
interface Cost {
  readonly name: string;
  readonly micros: number[];
  dispatches: number;
}

const costs: Cost[] = [];
const backends: (readonly [name: string, backend: WebgpuBackend])[] = [];
for (const [name, capture] of [
  ["captured", true],
  ["op by op", false],
] as const) {
  backends.push([name, await webgpu({ toggles: ["backend=null"], profile: "tiled", capture })]);
}

const trainers = backends.map(([name, backend]) => ({
  backend,
  cost: costOf(`training, ${name}`),
  step: trainer(backend),
}));
for (let k = 0; k < WARM + SAMPLES; k++) {
  for (const { backend, cost, step } of trainers) await timed(backend, cost, k >= WARM, step);
}
const samplers = backends.map(([name, backend]) => ({
  backend,
  cost: costOf(`sampling, ${name}`),
  step: drawer(backend),
}));
for (let k = 0; k < WARM + SAMPLES; k++) {
  for (const { backend, cost, step } of samplers) await timed(backend, cost, k >= WARM, step);
}
for (const { name, micros, dispatches } of costs) {
  const sorted = micros.sort((a, b) => a - b);
  const [least, p10, median] = [0, 0.1, 0.5].map((share) => sorted[Math.floor(share * sorted.length)]);
  const figures = `${median.toFixed(0)} µs (10th percentile ${p10.toFixed(0)}, least ${least.toFixed(0)})`;
  process.stdout.write(`${name}: ${figures}, ${dispatches} dispatches, ${(median / dispatches).toFixed(2)} µs each\n`);
}
process.exit(); // Dawn ends the process when it is collected in another order

function costOf(name: string): Cost {
  const cost = { name, micros: [], dispatches: 0 };
  costs.push(cost);
  return cost;
}

/** A training step. */
function trainer(backend: WebgpuBackend): () => void {
  const rng = randomStream(0);
  const model = unet(MNIST, { backend, rng: rng.split("weights") });
  const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
  const average = ema(model, 0.999);
  const schedule = cosine(1000);
  return () =>
    tidy(() => {
      const x0 = rng.normal(SHAPE, { backend });
      optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
    });
}

/** A step of DPM-Solver++(2M) with noise, as `sample` takes it; its check of the samples would find that nothing is computed. */
function drawer(backend: WebgpuBackend): () => void {
  const rng = randomStream(0);
  const model = unet(MNIST, { backend, rng: rng.split("weights") });
  const sampler = dpmSolverPlusPlus(discretePath(cosine(1000), { steps: 50 }), { eta: 1 });
  const stepper = sampleSteps({ sampler, model, rng });
  const [x, before] = [keep(rng.normal(SHAPE, { backend })), keep(rng.normal(SHAPE, { backend }))];
  let index = 0;
  return () => tidy(() => void stepper.step({ step: 1 + (index++ % 40), x, memory: [before] })); // steps of one form
}

async function timed(backend: WebgpuBackend, cost: Cost, isCounted: boolean, step: () => void): Promise<void> {
  const before = backend.counters().dispatches;
  const began = performance.now();
  step();
  if (isCounted) cost.micros.push(1000 * (performance.now() - began));
  cost.dispatches = backend.counters().dispatches - before;
  await backend.settled();
}
