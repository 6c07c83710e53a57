// How WebGPU kernels whose workgroups fold sums together divide their work: lanes per output, and shares of long sums.

import { type GpuTarget, workgroupSize } from "../../backends/webgpu/rule.ts";

/** For software adapters: barriers make them compile larger workgroups slowly. */
const SMALL_WORKGROUP = 16;

/** How a kernel whose workgroups fold sums together divides its work. */
export interface Folding {
  /** What the kernel's WORKGROUP has to be. */
  readonly WORKGROUP: string;
  /** How many of them fold each output; a power of two. */
  readonly lanes: number;
  /** Outputs of a workgroup: workgroup / lanes. */
  readonly columns: number;
  /** Workgroups that cover the outputs. */
  readonly blocks: number;
  /** The terms of each output are split into `shares` of `chunk` terms, each folded by a workgroup of its own. */
  readonly chunk: number;
  readonly shares: number;
}

/**
 * How to fold `length` terms for each of a number of outputs.
 * @param kernel its WGSL says how large workgroups are on GPUs
 * @param across neighbouring outputs whose terms lie side by side; 1 where an output's own terms do
 * @param isVector whether a term is four elements
 */
export function folding(
  kernel: string,
  profile: GpuTarget["profile"],
  { outputs, length, across, isVector }: { outputs: number; length: number; across: number; isVector: boolean },
): Folding {
  if (profile === "direct") {
    // Each invocation folds one output alone.
    const [columns, blocks] = [SMALL_WORKGROUP, Math.ceil(outputs / SMALL_WORKGROUP)];
    return { WORKGROUP: `${columns}u`, lanes: 1, columns, blocks, chunk: length, shares: 1 };
  }
  const workgroup = workgroupSize(kernel);
  if (workgroup === null)
    throw new Error(`folding: "${kernel.split("\n", 1)[0]}" has no workgroup size, want a number`);
  // Neighbouring invocations read a cache line (128 bytes) of neighbouring outputs, then go on along the terms.
  const line = Math.min(powerOfTwoFrom(across), isVector ? 8 : 32);
  const lanes = Math.min(workgroup / line, powerOfTwoFrom(length / 4));
  const columns = workgroup / lanes;
  const blocks = Math.max(1, Math.ceil(outputs / columns));
  // Split where the lanes have much to do and the outputs alone do not fill a GPU: 2048 is 16 for each of 128 multiprocessors.
  const wanted = length <= 8 * lanes ? 1 : Math.min(Math.ceil(2048 / blocks), Math.floor(length / (4 * lanes)));
  const chunk = Math.max(1, Math.ceil(length / wanted));
  const shares = Math.max(1, Math.ceil(length / chunk));
  return { WORKGROUP: `${workgroup}u`, lanes, columns, blocks, chunk, shares };
}

function powerOfTwoFrom(n: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(n)));
}
