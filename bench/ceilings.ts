// What a backend can do at most on this machine: a large copy, chained multiply-adds where they can be had, and a small matmul.
import fmaChain from "@pkg/kernels/fma_chain.wgsl";
import { type Backend, ones, tensor, tidy } from "@pkg/tensor";
import { defineOp, float32 } from "../packages/tensor/src/op.ts";
import { apply } from "../packages/tensor/src/tensor.ts";
import { clockRamp } from "./measure.ts";
import type { Ceilings } from "./report.ts";

const LOOPS = 64;
const WORKGROUP = 64;
const MOST_GROUPS = 65535;

/** 4 lanes × 8 vectors × 16 · LOOPS multiply-adds, each 2 operations, by every invocation. */
const FLOP_EACH = 2 * 4 * 8 * 16 * LOOPS;

const chain = defineOp<{ readonly groups: number }>({
  name: "fmaChain",
  infer: (_, { groups }) => [float32([groups * WORKGROUP * 4])],
  cpu: () => {},
  gpu: ({ inputs: [input], outputs: [out], attrs: { groups } }) => [
    { kernel: fmaChain, constants: { LOOPS: `${LOOPS}u` }, bindings: [input, out], workgroups: [groups] },
  ],
  cases: [{ inputs: [[4]], attrs: { groups: 1 } }],
  tolerance: {},
});

/** Measures the ceilings of a backend. */
export async function measureCeilings(backend: Backend): Promise<Ceilings> {
  const isGpu = backend.name.startsWith("webgpu");
  const elements = isGpu ? 2 ** 25 : 2 ** 22;
  const x = ones([elements], { backend }).contiguous();
  const copy = await best(backend, () => x.affine(1, 0).dispose());
  x.dispose();
  const bandwidth = (8 * elements) / copy;
  if (!isGpu) return { bandwidth };
  const m = tensor([0.5, 0.25, 0.125, 0.0625], { backend });
  const seconds = async (groups: number) => best(backend, () => apply(chain, [m], { groups }, backend)[0].dispose());
  // As many invocations as take some milliseconds: a software adapter needs few, a GPU many.
  let groups = 16;
  let took = await seconds(groups);
  while (took < 0.005 && groups < MOST_GROUPS) {
    groups = Math.min(MOST_GROUPS, 4 * groups);
    took = await seconds(groups);
  }
  return { bandwidth, flops: (groups * WORKGROUP * FLOP_EACH) / took };
}

/** FLOP/s of a matmul that takes some milliseconds: roughly what to expect of the cases. */
export async function probeRate(backend: Backend): Promise<number> {
  for (let n = 64; ; n *= 2) {
    const x = ones([n, n], { backend }).contiguous();
    const took = await best(backend, () => x.matmul(x).dispose());
    x.dispose();
    if (took > 0.002 || n === 4096) return (2 * n ** 3) / took;
  }
}

/** The shortest of at least five, in seconds; of as many as it takes to raise a GPU's clocks. */
async function best(backend: Backend, run: () => void): Promise<number> {
  let shortest = Number.POSITIVE_INFINITY;
  const start = performance.now();
  for (let k = 0; k < 5 || performance.now() - start < clockRamp(backend); k++) {
    const began = performance.now();
    tidy(run);
    await backend.settled();
    shortest = Math.min(shortest, (performance.now() - began) / 1000);
  }
  return shortest;
}
