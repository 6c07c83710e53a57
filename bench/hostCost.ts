// `node tools/run.mjs bench/hostCost.ts`: what a training step and a sampler's step cost the host on Dawn's null backend, whose kernels do nothing; plain and captured in turn.
import { capturedModel, cosine, discretePath, dpmSolverPlusPlus, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, unet } from "@pkg/nn";
import { capture, keep, randomStream, type Tensor, tidy, webgpu } from "@pkg/tensor";
import { capturedSteps, plainSteps, type SampleStepper } from "../packages/diffusion/src/sampling/sampleStep.ts";

const WARM = 20;
const SAMPLES = 80;

const backend = await webgpu({ toggles: ["backend=null"], profile: "tiled" });
const rng = randomStream(0);
const config = { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 }; // the MNIST U-Net of endToEnd.ts
const model = unet(config, { backend, rng: rng.split("weights") });
const schedule = cosine(1000);
// A small batch, since that device has 512 MiB: the cost to the host does not depend on it.
const x0 = rng.normal([8, 28, 28, 1], { backend });

const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
const average = ema(model, 0.999);
const train = (x: Tensor): Tensor =>
  tidy(() => {
    const loss = optimizer.minimize(() => noisePrediction(model, schedule, x, rng));
    average.update();
    return loss;
  });
const captured = capture(train);
await report("a training step", {
  plain: () => train(x0).dispose(),
  captured: () => captured(x0).dispose(),
});

const sampler = dpmSolverPlusPlus(discretePath(schedule, { steps: 50 }), { eta: 1 });
const x = keep(rng.normal(x0.shape, { backend }));
const memory = [keep(rng.normal(x0.shape, { backend }))];
let index = 0;
const once = (stepper: SampleStepper) => () => tidy(() => void stepper.step({ step: 1 + (index++ % 40), x, memory })); // steps of one form
await report("a step of DPM-Solver++(2M) with noise", {
  plain: once(plainSteps({ sampler, model, rng })),
  "network captured": once(plainSteps({ sampler, model: capturedModel(model), rng })),
  captured: once(capturedSteps({ sampler, model, rng })),
});
process.exit(); // Dawn ends the process when it is collected in another order

/** Runs the ways of taking a step in turn, and writes what each costs. Steps that a capture checks, as it does a few, are among the slowest. */
async function report(what: string, ways: Readonly<Record<string, () => void>>): Promise<void> {
  const costs = new Map(Object.keys(ways).map((name) => [name, [] as number[]]));
  const dispatches = new Map<string, number>();
  for (let k = 0; k < WARM + SAMPLES; k++) {
    for (const [name, step] of Object.entries(ways)) {
      const before = backend.counters().dispatches;
      const began = performance.now();
      step();
      const cost = performance.now() - began;
      if (k >= WARM) costs.get(name)?.push(1000 * cost);
      dispatches.set(name, backend.counters().dispatches - before);
      await backend.settled();
    }
  }
  process.stdout.write(`${what}:\n`);
  for (const [name, cost] of costs) {
    const sorted = cost.sort((a, b) => a - b);
    const [least, p10, median] = [0, 0.1, 0.5].map((share) => sorted[Math.floor(share * sorted.length)]);
    const count = Number(dispatches.get(name));
    const [all, each] = [median.toFixed(0), (median / count).toFixed(1)];
    process.stdout.write(
      `  ${name}: ${all} µs (10th percentile ${p10.toFixed(0)}, least ${least.toFixed(0)}), ${count} dispatches, ${each} µs each\n`,
    );
  }
}
