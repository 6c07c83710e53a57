// Whole steps of a network, as the bench takes them apart.
import { cosine } from "@pkg/diffusion";
import { webgpu } from "@pkg/tensor";
import { expect, test } from "vitest";
import { measureNetwork, type Network } from "../../bench/endToEnd.ts";
import { gpuAvailable } from "../setup/gpu.ts";

const tiny: Network = {
  network: {
    name: "tiny U-Net",
    config: { inChannels: 1, channels: 4, multipliers: [1], blocks: 1 },
    side: 4,
    flopPerImage: 1e5,
  },
  schedule: cosine(10),
  batch: 2,
  sampleBatch: 1,
};

test.skipIf(!gpuAvailable)("a training step is replayed, in one capture too, and creates nothing then", async () => {
  const backend = await webgpu();
  const stage = { label: "webgpu", backend, gpu: backend, expectedRate: 1e9 };
  const found = await measureNetwork(tiny, stage, 3, 2);
  const { calls, captured } = found;
  expect(found.ops).toBeGreaterThan(20);
  expect(found.allocatedBytes).toBeGreaterThan(0);
  expect(calls?.dispatches).toBeGreaterThanOrEqual(found.ops / 2);
  expect(calls?.pipelines).toBe(0);
  expect(captured?.calls).toMatchObject({ replays: 1, bindGroups: 0, pipelines: 0, buffers: 0 });
  expect(captured?.calls?.dispatches).toBeGreaterThan(20);
  expect(found.sampling).toMatchObject({ batch: 1, steps: 2 });
  backend.dispose();
});
