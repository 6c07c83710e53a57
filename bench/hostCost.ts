// `node tools/run.mjs bench/hostCost.ts`: what a training step costs the host on Dawn's null backend, whose kernels do nothing; plain and captured in turn.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, unet } from "@pkg/nn";
import { capture, randomStream, type Tensor, tidy, webgpu } from "@pkg/tensor";

const WARM = 20;
const SAMPLES = 80;

const backend = await webgpu({ toggles: ["backend=null"], profile: "tiled" });
const rng = randomStream(0);
const config = { inChannels: 1, channels: 32, multipliers: [1, 2, 2], blocks: 1 }; // the MNIST U-Net of endToEnd.ts
const model = unet(config, { backend, rng: rng.split("weights") });
const optimizer = adamW(parameters(model), { lr: 2e-4, clipNorm: 1 });
const average = ema(model, 0.999);
// A small batch, since that device has 512 MiB: the cost to the host does not depend on it.
const x0 = rng.normal([8, 28, 28, 1], { backend });

const plain = (x: Tensor): Tensor =>
  tidy(() => {
    const loss = optimizer.minimize(() => noisePrediction(model, cosine(1000), x, rng));
    average.update();
    return loss;
  });
const captured = capture(plain);
const steps = { plain, captured };
const costs: Record<keyof typeof steps, number[]> = { plain: [], captured: [] };
for (let k = 0; k < WARM + SAMPLES; k++) {
  for (const [name, step] of Object.entries(steps) as [keyof typeof steps, typeof plain][]) {
    const before = backend.counters().dispatches;
    const began = performance.now();
    step(x0).dispose();
    const cost = performance.now() - began;
    const isCounted = k >= WARM && (name === "plain" || captured.isReplaying);
    if (isCounted) costs[name].push((1000 * cost) / (backend.counters().dispatches - before));
    await backend.settled();
  }
}
for (const [name, cost] of Object.entries(costs)) {
  const [least, p10, median] = [0, 0.1, 0.5].map(
    (share) => cost.sort((a, b) => a - b)[Math.floor(share * cost.length)],
  );
  process.stdout.write(
    `${name}: ${median.toFixed(1)} µs a dispatch (10th percentile ${p10.toFixed(1)}, least ${least.toFixed(1)})\n`,
  );
}
const { dispatches } = backend.counters();
captured(x0).dispose();
process.stdout.write(`${backend.counters().dispatches - dispatches} dispatches a step\n`);
process.exit(); // Dawn ends the process when it is collected in another order
