// Sorting on WebGPU: blocks by counting, then sorted runs merged in pairs.

import keys from "@pkg/kernels/functions/order_key.wgsl";
import blockKernel from "@pkg/kernels/sorting/sort_block.wgsl";
import mergeKernel from "@pkg/kernels/sorting/sort_merge.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import { gatherCall } from "../gather/webgpu.ts";
import type { SortAttrs } from "./sort.ts";

const BLOCK = 32;
export const sortWebgpu: WebgpuRule<SortAttrs> = { calls };

function calls({ inputs: [x], outputs: [values, indices], attrs, temporary }: GpuCall<SortAttrs>): KernelCall[] {
  const size = sizeOf(x.shape);
  const length = x.shape[x.shape.length - 1];
  const merges = Math.max(0, Math.ceil(Math.log2(length / BLOCK)));
  const spare = Array.from({ length: Math.min(2, merges) }, () => temporary(size));
  /** Where the k-th step leaves the order: the last one in the result. */
  const orderAfter = (k: number): View | Temporary => (k === merges ? indices : spare[k % 2]);
  const shared = {
    library: keys,
    grid: { threads: size },
    constants: { key: `return ${attrs.descending ? "~" : ""}order_key(bits);` },
  };
  return [
    {
      ...shared,
      kernel: blockKernel,
      constants: { ...shared.constants, BLOCK: `${BLOCK}u` },
      params: { size, length },
      bindings: [x, orderAfter(0)],
    },
    ...Array.from({ length: merges }, (_, k) => ({
      ...shared,
      kernel: mergeKernel,
      params: { size, length, run: BLOCK * 2 ** k },
      bindings: [x, orderAfter(k), orderAfter(k + 1)],
    })),
    gatherCall(x, indices, values, x.shape.length - 1),
  ];
}
