// What the host sides of many kernels share: how many workgroups to dispatch, and axes padded to the kernels' fixed size.

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

/** One number an axis, as `array<vec4<…>, 2>` parameters carry them; the rest is 1. */
export function perAxis(values: readonly number[]): number[] {
  return [...values, ...new Array<number>(MAX_RANK - values.length).fill(1)];
}
