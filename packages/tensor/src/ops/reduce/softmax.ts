// Functions of whole rows that share one kernel: softmax, logSoftmax and logSumExp along the last axis.

import { type Case, defineOp, float32, type NdArray, type Op } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { rowsWasm } from "./wasm.ts";
import { rowsWebgpu } from "./webgpu.ts";

interface RowFunction extends Pick<Op, "name" | "vjp" | "saves" | "tolerance"> {
  /** Whether the result has one element a row. */
  readonly isReduction?: boolean;
  /** The expression in an element x, the row's largest element `peak`, and `total`, Σ exp(x − peak); for rows with a finite peak. */
  readonly wgsl: string;
  /** The kernel in WebAssembly. */
  readonly wasm: string;
  /** The same on the host. No sum of a peak and a logarithm: beside a large peak that loses the logarithm's digits. */
  readonly cpu: (x: number, peak: number, total: number) => number;
}

const CASES: Case<undefined>[] = [
  { inputs: [[5, 1]] },
  { inputs: [[2, 3, 33]] },
  { inputs: [[3, 1000]] },
  { inputs: [[300, 4]] },
  { inputs: [[1, 4096]] },
  { inputs: [{ shape: [4, 36], range: [-1e4, 1e4] }] },
];

/** e^x / Σ e^x along the last axis. */
export const softmax = rowFunction({
  name: "softmax",
  wgsl: "exp_of(x - peak) / total",
  wasm: "softmax",
  cpu: (x, peak, total) => Math.exp(x - peak) / total,
  vjp([g], _, [y]) {
    const gy = g.mul(y);
    return [gy.sub(y.mul(gy.sum(-1, { keepAxes: true })))];
  },
  saves: { outputs: [0] },
  tolerance: { relL2: 1e-5 },
});

// A result near 0 is the difference of x − peak and log(total), which WGSL gives to 2⁻²¹, of a total that is some 8 ulp off.
const LOGARITHM = { ulp: 8, abs: 2e-6 };

/** x − log Σ e^x along the last axis. */
export const logSoftmax = rowFunction({
  name: "logSoftmax",
  wgsl: "(x - peak) - log(total)",
  wasm: "log_softmax",
  cpu: (x, peak, total) => x - peak - Math.log(total),
  vjp: ([g], _, [y]) => [g.sub(y.exp().mul(g.sum(-1, { keepAxes: true })))],
  saves: { outputs: [0] },
  tolerance: LOGARITHM,
});

/** log Σ e^x along the last axis, which keeps size 1; ±∞ where that is the row's largest element. */
export const logSumExp = rowFunction({
  name: "logSumExp",
  isReduction: true,
  wgsl: "peak + log(total)",
  wasm: "log_sum_exp",
  cpu: (_, peak, total) => (Number.isFinite(peak) ? peak + Math.log(total) : peak),
  vjp: ([g], [x]) => [x.softmax().mul(g)],
  saves: { inputs: [0] },
  tolerance: LOGARITHM,
});

function rowFunction({ name, isReduction = false, wgsl, wasm, cpu, ...rules }: RowFunction): Op {
  return defineOp({
    name,
    infer([x]) {
      if (x.shape.length === 0 || x.shape.at(-1) === 0) {
        throw new ShapeError(`${name}: shape ${formatShape(x.shape)}, want a last axis of at least one element`);
      }
      return [float32(isReduction ? x.shape.with(-1, 1) : x.shape)];
    },
    cpu: ([out], [x]) => mapRows(out, x, cpu),
    webgpu: rowsWebgpu(wgsl, isReduction),
    wasm: rowsWasm(wasm),
    ...rules,
    cases: CASES,
    errors: [{ inputs: [[]], error: `${name}: shape [], want a last axis` }],
  });
}

function mapRows(out: NdArray, x: NdArray, f: RowFunction["cpu"]): void {
  const length = x.shape[x.shape.length - 1];
  const perRow = out.shape[out.shape.length - 1];
  const read = elementReader(x);
  for (let first = 0, at = out.offset; first < sizeOf(x.shape); first += length, at += perRow) {
    let peak = Number.NEGATIVE_INFINITY;
    for (let j = 0; j < length; j++) peak = Math.max(peak, read(first + j));
    let total = 0;
    for (let j = 0; j < length; j++) total += Math.exp(read(first + j) - peak);
    for (let j = 0; j < perRow; j++) out.data[at + j] = f(read(first + j), peak, total);
  }
}
