// A U-Net that recomputes its stages: the losses, weights and draws of the plain one to the bit, in less memory.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, parameters, stateDict, type UnetConfig, unet } from "@pkg/nn";
import { type Backend, randomStream, tidy, wasm } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const CONFIG: UnetConfig = {
  inChannels: 1,
  channels: 8,
  multipliers: [1, 2],
  blocks: 1,
  attentionLevels: [1],
  dropout: 0.2,
};

async function trained(backend: Backend, config: UnetConfig) {
  const rng = randomStream(0);
  const model = unet(config, { backend, rng });
  const optimizer = adamW(model, { lr: 1e-2, clipNorm: 1 });
  const told = {
    parameters: parameters(model),
    forward: (...[x, times]: Parameters<typeof model.forward>) => model.forward(x, times, { rng }),
  };
  const losses: number[] = [];
  for (let k = 0; k < 3; k++) {
    const x0 = rng.normal([2, 7, 9, 1], { backend }); // odd sizes
    losses.push(await optimizer.minimize(() => noisePrediction(told, cosine(100), x0, rng)).item());
  }
  const weights = await Promise.all(parameters(model).map(async (p) => [...(await p.data())]));
  return { losses, weights, names: [...stateDict(model).keys()], rng: rng.state() };
}

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("trains to the same bits, with dropout, and draws as much", async () => {
    const backend = await open();
    const wanted = await trained(backend, CONFIG);
    expect(wanted.losses[2]).not.toBe(wanted.losses[1]);
    expect(await trained(backend, { ...CONFIG, checkpoint: true })).toEqual(wanted);
    await backend.dispose();
  });
});

test("of a stage its input is kept: two tensors per block more, one going down and one going up", async () => {
  const [batch, side, channels] = [8, 16, 16];
  /** In tensors [batch, side, side, channels]. */
  const above = async (blocks: number, checkpoint: boolean) => {
    const backend = await wasm({ threads: 1 });
    const rng = randomStream(0);
    const model = unet({ inChannels: 1, channels, multipliers: [1], blocks, checkpoint }, { backend, rng });
    const optimizer = adamW(model, { lr: 1e-3 });
    const step = () =>
      tidy(() => {
        const x0 = rng.normal([batch, side, side, 1], { backend });
        optimizer.minimize(() => noisePrediction(model, cosine(100), x0, rng));
      });
    for (let k = 0; k < 2; k++) step();
    const { peakBytes } = backend.memory();
    backend.dispose();
    // Weights and two moments: gradients are none where activations peak.
    const lasting = 3 * parameters(model).reduce((sum, { size }) => sum + size, 0);
    return (peakBytes / 4 - lasting) / (batch * side * side * channels);
  };
  const perBlock = async (checkpoint: boolean) => ((await above(8, checkpoint)) - (await above(4, checkpoint))) / 4;
  expect(await perBlock(true)).toBeLessThan(2.5);
  expect(await perBlock(false)).toBeGreaterThan(4);
});
