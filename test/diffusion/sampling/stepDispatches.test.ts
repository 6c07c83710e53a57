// What samplers ask of a GPU besides the network: the figures of docs/performance.md.
import {
  ancestral,
  cosine,
  ddim,
  discretePath,
  dpmSolverPlusPlus,
  euler,
  heun,
  type Sampler,
  sample,
} from "@pkg/diffusion";
import { randomStream, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";

const schedule = cosine(100);
const path = discretePath(schedule, { steps: 6 });

describe.skipIf(!gpuAvailable)("dispatches of a step besides the network's", () => {
  test.each<[name: string, sampler: Sampler, dispatches: number]>([
    ["DDIM", ddim(discretePath(schedule, { steps: 6 })), 4],
    ["DDIM with a clip", ddim(discretePath(schedule, { steps: 6, clip: true })), 6],
    ["ancestral", ancestral(discretePath(schedule, { steps: 6 })), 6],
    ["ancestral with a clip", ancestral(discretePath(schedule, { steps: 6, clip: true })), 7],
    ["Euler", euler(path), 4],
    ["Heun", heun(path), 9],
    ["DPM-Solver++(2M) with noise", dpmSolverPlusPlus(path, { eta: 1 }), 6],
  ])("%s", async (_, sampler, dispatches) => {
    const backend = await webgpu();
    const free = { forward: (x: Parameters<Sampler["step"]>[0]["x"]) => x }; // a network that costs nothing
    const after: number[] = [];
    for await (const step of sample(sampler, free, [2, 4], randomStream(0), { backend })) {
      after[step.step] = backend.counters().dispatches;
    }
    expect(after[4] - after[3]).toBe(dispatches);
    backend.dispose();
  });
});
