// What the host sides of many kernels share: how many workgroups to dispatch, and axes padded to the kernels' fixed size.

import type { GpuTarget } from "../op.ts";
import { MAX_RANK } from "../shape.ts";

const MAX_WORKGROUPS = 65535;

/**
 * Workgroups of `workgroup` invocations that cover `threads`, in two axes where one would pass WebGPU's limit of 65,535.
 * Kernels count x first, then y.
 */
export function linearGrid(threads: number, workgroup: number): [number, number] {
  const groups = Math.max(1, Math.ceil(threads / workgroup));
  const rows = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / rows), rows];
}

/** How a kernel whose workgroups fold sums together divides its work. */
export interface Folding {
  /** Invocations of a workgroup. */
  readonly workgroup: number;
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
 * @param across neighbouring outputs whose terms lie side by side; 1 where an output's own terms do
 * @param isVector whether a term is four elements
 */
export function folding(
  profile: GpuTarget["profile"],
  { outputs, length, across, isVector }: { outputs: number; length: number; across: number; isVector: boolean },
): Folding {
  if (profile === "direct") {
    // Each invocation folds one output alone; a small workgroup, since the kernels' barriers make compiling larger ones slow.
    const workgroup = 16;
    return {
      workgroup,
      lanes: 1,
      columns: workgroup,
      blocks: Math.ceil(outputs / workgroup),
      chunk: length,
      shares: 1,
    };
  }
  const workgroup = 128;
  // Neighbouring invocations read a cache line (128 bytes) of neighbouring outputs, then go on along the terms.
  const line = Math.min(powerOfTwoFrom(across), isVector ? 8 : 32);
  const lanes = Math.min(workgroup / line, powerOfTwoFrom(length / 4));
  const columns = workgroup / lanes;
  const blocks = Math.max(1, Math.ceil(outputs / columns));
  // Split where the lanes have much to do and the outputs alone do not fill a GPU: 2048 is 16 for each of 128 multiprocessors.
  const wanted = length <= 8 * lanes ? 1 : Math.min(Math.ceil(2048 / blocks), Math.floor(length / (4 * lanes)));
  const chunk = Math.max(1, Math.ceil(length / wanted));
  return { workgroup, lanes, columns, blocks, chunk, shares: Math.max(1, Math.ceil(length / chunk)) };
}

function powerOfTwoFrom(n: number): number {
  return 2 ** Math.max(0, Math.ceil(Math.log2(n)));
}

/**
 * Rows of `size` elements that a thread of the WebAssembly backend takes at once: as many as take about as long as waking it.
 * @param cost of an element, in copied ones
 */
export function grainOf(size: number, cost = 1): number {
  return Math.max(1, Math.ceil(16384 / (size * cost)));
}

/** One number an axis, as `array<vec4<…>, 2>` parameters carry them; the rest is 1. */
export function perAxis(values: readonly number[]): number[] {
  return [...values, ...new Array<number>(MAX_RANK - values.length).fill(1)];
}
