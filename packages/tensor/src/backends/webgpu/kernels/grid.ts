// How many workgroups to dispatch for what a kernel call asks.

import type { KernelCall } from "../rule.ts";

/** WebGPU's limit on each axis of a dispatch. */
const MAX_WORKGROUPS = 65535;

/**
 * Workgroups in x and y, the second where one axis would pass the limit. Kernels count x first, then y.
 * @param workgroup the kernel's workgroup size, null where its WGSL does not tell
 * @throws Error for threads of a kernel whose workgroup size is not known
 */
export function dispatchSize(label: string, grid: KernelCall["grid"], workgroup: number | null): [number, number] {
  const groups = Math.max(1, "threads" in grid ? coverOf(label, grid.threads, workgroup) : grid.workgroups);
  const rows = Math.ceil(groups / MAX_WORKGROUPS);
  return [Math.ceil(groups / rows), rows];
}

function coverOf(label: string, threads: number, workgroup: number | null): number {
  if (workgroup !== null) return Math.ceil(threads / workgroup);
  throw new Error(
    `${label}: a grid of ${threads} threads for a kernel whose @workgroup_size is no number, want a grid of workgroups`,
  );
}
