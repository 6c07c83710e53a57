// Networks that recompute their parts: the losses, weights and draws of the plain ones to the bit, in less memory.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { adamW, dit, type InitOptions, parameters, stateDict, unet } from "@pkg/nn";
import { type Backend, randomStream, tidy, wasm } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const [BATCH, SIDE, CHANNELS] = [8, 16, 16];

type Make = (checkpoint: boolean, init: InitOptions) => ReturnType<typeof unet> | ReturnType<typeof dit>;

const NETWORKS: Readonly<Record<string, Make>> = {
  unet: (checkpoint, init) =>
    unet(
      { inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1, attentionLevels: [1], dropout: 0.2, checkpoint },
      init,
    ),
  dit: (checkpoint, init) =>
    dit({ inChannels: 1, patch: 1, channels: 8, depth: 2, heads: 2, dropout: 0.2, checkpoint }, init),
};

async function trained(backend: Backend, make: Make, checkpoint: boolean) {
  const rng = randomStream(0);
  const model = make(checkpoint, { backend, rng });
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
  test.skipIf(skip).each(Object.entries(NETWORKS))(
    "%s trains to the same bits, with dropout, and draws as much",
    async (_, make) => {
      const backend = await open();
      const wanted = await trained(backend, make, false);
      expect(wanted.losses[2]).not.toBe(wanted.losses[1]);
      expect(await trained(backend, make, true)).toEqual(wanted);
      await backend.dispose();
    },
  );
});

/** What a training step of such a network needs per block, in tensors [batch, side, side, channels]. */
async function perBlock(make: (blocks: number, init: InitOptions) => ReturnType<Make>): Promise<number> {
  const above = async (blocks: number) => {
    const backend = await wasm({ threads: 1 });
    const rng = randomStream(0);
    const model = make(blocks, { backend, rng });
    const optimizer = adamW(model, { lr: 1e-3 });
    const step = () =>
      tidy(() => {
        const x0 = rng.normal([BATCH, SIDE, SIDE, 1], { backend });
        optimizer.minimize(() => noisePrediction(model, cosine(100), x0, rng));
      });
    for (let k = 0; k < 2; k++) step();
    const { peakBytes } = backend.memory();
    backend.dispose();
    // Weights and two moments: gradients are none where activations peak.
    const lasting = 3 * parameters(model).reduce((sum, { size }) => sum + size, 0);
    return (peakBytes / 4 - lasting) / (BATCH * SIDE * SIDE * CHANNELS);
  };
  return ((await above(8)) - (await above(4))) / 4;
}
test("of a stage its input is kept: two tensors per block more, one going down and one going up", async () => {
  const make = (checkpoint: boolean) =>
    perBlock((blocks, init) => unet({ inChannels: 1, channels: CHANNELS, multipliers: [1], blocks, checkpoint }, init));
  expect(await make(true)).toBeLessThan(2.5);
  expect(await make(false)).toBeGreaterThan(4);
});

test("of a transformer's block its input is kept: one tensor per block more", async () => {
  const make = (checkpoint: boolean) =>
    perBlock((depth, init) => dit({ inChannels: 1, patch: 1, channels: CHANNELS, depth, heads: 2, checkpoint }, init));
  expect(await make(true)).toBeLessThan(1.5);
  expect(await make(false)).toBeGreaterThan(8);
});
