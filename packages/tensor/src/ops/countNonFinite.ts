// How many elements are NaN or infinite: what the search for the first such op reads.

import countKernel from "@pkg/kernels/count_non_finite.wgsl";
import { defineOp, type KernelCall, type Op, type Temporary, type View } from "../op.ts";
import { sizeOf } from "../shape.ts";
import { linearGrid } from "./dispatch.ts";
import { elementReader } from "./elementwise.ts";

const PER_THREAD = 64;
const WORKGROUP = 64;

/** A scalar (uint32). */
export const countNonFinite: Op = defineOp({
  name: "countNonFinite",
  infer([x]) {
    if (x.dtype !== "float32") throw new Error(`countNonFinite: type ${x.dtype}, want float32`);
    return [{ shape: [], dtype: "uint32" }];
  },
  cpu([out], [x]) {
    const read = elementReader(x);
    let count = 0;
    for (let i = 0; i < sizeOf(x.shape); i++) if (!Number.isFinite(read(i))) count++;
    out.data[out.offset] = count;
  },
  gpu({ inputs: [x], outputs: [out], temporary }) {
    const calls: KernelCall[] = [];
    let from: View | Temporary = x;
    let size = sizeOf(x.shape);
    do {
      const threads = Math.max(1, Math.ceil(size / PER_THREAD));
      const to: View | Temporary = threads === 1 ? out : temporary(threads);
      calls.push({
        kernel: countKernel,
        constants: { WORKGROUP: `${WORKGROUP}u`, ...(from === x ? {} : { weight: "return bits;" }) },
        params: { size, threads },
        bindings: [from, to],
        workgroups: linearGrid(threads, WORKGROUP),
      });
      from = to;
      size = threads;
    } while (size > 1);
    return calls;
  },
  cases: [
    { inputs: [[]] },
    { inputs: [[0, 3]] },
    { inputs: [{ shape: [5], values: [Number.NaN, 1, Infinity, -Infinity, 3.4e38] }] },
    { inputs: [{ shape: [70, 65], values: Array.from({ length: 4550 }, (_, k) => (k % 7 ? k : Number.NaN)) }] },
  ],
  errors: [{ inputs: [{ shape: [2], dtype: "int32" }], error: "countNonFinite: type int32, want float32" }],
  tolerance: { ulp: 0 },
});
