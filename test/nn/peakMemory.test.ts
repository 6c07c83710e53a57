// What a training step holds at its peak, against what has to be alive at once; and that nothing is left behind.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, ema, parameters, type UnetConfig, unet } from "@pkg/nn";
import { cpu, randomStream, tensor, tidy, wasm } from "@pkg/tensor";
import { expect, test } from "vitest";
import { liveBytes } from "../../bench/liveBytes.ts";
import { heldBy, stillHeld } from "../setup/heldTensors.ts";

const MNIST: UnetConfig = { inChannels: 1, channels: 16, multipliers: [1, 2, 2], blocks: 1 };
const CIFAR: UnetConfig = { inChannels: 3, channels: 16, multipliers: [1, 2, 2], blocks: 2, attentionLevels: [1] };

async function trainer(config: UnetConfig, side: number, batch: number) {
  const backend = await wasm();
  const rng = randomStream(0);
  const model = unet(config, { backend, rng });
  const optimizer = adamW(parameters(model), { lr: 1e-3, clipNorm: 1 });
  const average = ema(model, 0.99);
  const schedule = cosine(1000);
  const step = () =>
    tidy(() => {
      const x0 = rng.normal([batch, side, side, config.inChannels], { backend });
      optimizer.minimize(() => noisePrediction(model, schedule, x0, rng));
      average.update();
    });
  const lasting = () => [...parameters(model), ...optimizer.state().values(), ...average.state().values()];
  return { backend, step, lasting };
}

test.each([
  ["MNIST's", MNIST, 28],
  ["CIFAR-10's", CIFAR, 32],
] as const)(
  "a training step of a U-Net like %s peaks within 1.2 times of what must be alive",
  async (_, config, side) => {
    const { backend, step, lasting } = await trainer(config, side, 16);
    step();
    const least = liveBytes(step, lasting());
    const { peakBytes } = backend.memory();
    expect(peakBytes).toBeGreaterThanOrEqual(least);
    expect(peakBytes / least).toBeLessThan(1.2);
    backend.dispose();
  },
);

test("training leaves no tensor and no byte behind", async () => {
  const { backend, step } = await trainer({ ...MNIST, channels: 4 }, 8, 4);
  for (let k = 0; k < 3; k++) step();
  const early = heldBy(backend);
  for (let k = 0; k < 50; k++) step();
  expect(stillHeld(backend)).toEqual(early);
  backend.dispose();
});

test("the least is counted from births and last uses", () => {
  const backend = cpu();
  const x = tensor(new Float32Array(1000), { backend });
  // x, a and b; then x and b, c; then c and d: a is read last by b's op.
  const least = liveBytes(() => tidy(() => void x.exp().exp().exp().sum()), [x]);
  expect(least).toBe(3 * 4000);
});
