// `node tools/run.mjs bench/hostCost.ts [--op-by-op]`: what a training step and a sampling step, written as README writes them, cost the
// host on Dawn's null backend, whose kernels do nothing. Steps are replayed; with --op-by-op no step is captured.
import { cosine, discretePath, dpmSolverPlusPlus, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, unet } from "@pkg/nn";
import { keep, randomStream, tidy, webgpu } from "@pkg/tensor";
import { sampleSteps } from "../packages/diffusion/src/sampling/sampleStep.ts";

/** Before these the engine of JavaScript has not compiled all of a step. */
const WARM = 200;
const SAMPLES = 400;
const MNIST = { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 }; // the U-Net of endToEnd.ts
const SHAPE = [8, 28, 28, 1]; // that device has 512 MiB; the cost to the host does not depend on the batch

// One way per process: two devices in turn would make each other slower.
const capture = !process.argv.includes("--op-by-op");
const backend = await webgpu({ toggles: ["backend=null"], profile: "tiled", capture });
await report("training", trainer());
await report("sampling", drawer());
process.exit(); // Dawn ends the process when it is collected in another order

/** A training step. */
function trainer(): () => void {
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
function drawer(): () => void {
  const rng = randomStream(0);
  const model = unet(MNIST, { backend, rng: rng.split("weights") });
  const sampler = dpmSolverPlusPlus(discretePath(cosine(1000), { steps: 50 }), { eta: 1 });
  const stepper = sampleSteps({ sampler, model, rng });
  const [x, before] = [keep(rng.normal(SHAPE, { backend })), keep(rng.normal(SHAPE, { backend }))];
  let index = 0;
  return () => tidy(() => void stepper.step({ step: 1 + (index++ % 40), x, memory: [before] })); // steps of one form
}

/** Takes the steps, and says what they cost the host and how many dispatches the last took. */
async function report(name: string, step: () => void): Promise<void> {
  const micros: number[] = [];
  let dispatches = 0;
  for (let k = 0; k < WARM + SAMPLES; k++) {
    const before = backend.counters().dispatches;
    const began = performance.now();
    step();
    if (k >= WARM) micros.push(1000 * (performance.now() - began));
    dispatches = backend.counters().dispatches - before;
    await backend.settled();
  }
  const sorted = micros.sort((a, b) => a - b);
  const [least, p10, median] = [0, 0.1, 0.5].map((share) => sorted[Math.floor(share * sorted.length)]);
  const figures = `${median.toFixed(0)} µs (10th percentile ${p10.toFixed(0)}, least ${least.toFixed(0)})`;
  process.stdout.write(`${name}: ${figures}, ${dispatches} dispatches, ${(median / dispatches).toFixed(2)} µs each\n`);
}
