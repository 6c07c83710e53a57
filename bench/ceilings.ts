// What a backend can do at most on this machine: a large copy, and chained multiply-adds.
import fmaChain from "@pkg/kernels/elementwise/fma_chain.wgsl";
import { type Backend, ones, tensor, tidy } from "@pkg/tensor";
import { defineOp, float32 } from "../packages/tensor/src/op.ts";
import { apply } from "../packages/tensor/src/tensor.ts";
import { CLOCK_RAMP, isGpu } from "./contender.ts";
import { wasmChain } from "./wasmChain.ts";

/** What a machine can do at most, measured in the same run: cases are shown as shares of it. */
export interface Ceilings {
  /** FLOP/s of chained multiply-adds, where it was measured. */
  readonly flops?: number;
  /** Bytes/s of a large copy, read plus written. */
  readonly bandwidth: number;
}

const LOOPS = 64;
/** The kernel counts along one axis, of at most 65,535 workgroups. */
const MOST_THREADS = 4e6;

/** 4 lanes × 8 vectors × 16 · LOOPS multiply-adds, each 2 operations, by every invocation. */
const FLOP_EACH = 2 * 4 * 8 * 16 * LOOPS;

const chain = defineOp<{ readonly threads: number }>({
  name: "fmaChain",
  infer: (_, { threads }) => [float32([threads * 4])],
  cpu: () => {},
  webgpu: {
    calls: ({ inputs: [input], outputs: [out], attrs: { threads } }) => [
      { kernel: fmaChain, constants: { LOOPS: `${LOOPS}u` }, bindings: [input, out], grid: { threads } },
    ],
  },
  wasm: null,
  cases: [{ inputs: [[4]], attrs: { threads: 64 } }],
  tolerance: {},
});

/** Measures the ceilings of a backend. */
export async function measureCeilings(backend: Backend): Promise<Ceilings> {
  const elements = isGpu(backend) ? 2 ** 26 : 2 ** 22;
  const x = ones([elements], { backend }).contiguous();
  const copy = await best(backend, () => x.affine(1, 0).dispose());
  x.dispose();
  const bandwidth = (8 * elements) / copy;
  if (backend.name.startsWith("wasm")) return { bandwidth, flops: await wasmFlops(backend) };
  return backend.name.startsWith("webgpu") ? { bandwidth, flops: await gpuFlops(backend) } : { bandwidth };
}

/** One thread's rate for each of the backend's threads: as if they did not share a core. */
async function wasmFlops({ name }: Backend): Promise<number> {
  const [, threads] = /(\d+) thread/.exec(name) ?? [name, "1"];
  return Number(threads) * (await wasmChain(name.includes("fma")));
}

async function gpuFlops(backend: Backend): Promise<number> {
  const m = tensor([0.5, 0.25, 0.125, 0.0625], { backend });
  const seconds = async (threads: number) => best(backend, () => apply(chain, [m], { threads }, backend)[0].dispose());
  // As many invocations as take some milliseconds: a software adapter needs few, a GPU many.
  let threads = 1024;
  let took = await seconds(threads);
  while (took < 0.005 && threads < MOST_THREADS) {
    threads = Math.min(MOST_THREADS, 4 * threads);
    took = await seconds(threads);
  }
  m.dispose();
  return (threads * FLOP_EACH) / took;
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
  for (let k = 0; k < 5 || (isGpu(backend) && performance.now() - start < CLOCK_RAMP); k++) {
    const began = performance.now();
    tidy(run);
    await backend.settled();
    shortest = Math.min(shortest, (performance.now() - began) / 1000);
  }
  return shortest;
}
