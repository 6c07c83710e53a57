// Reductions over any axes: sum, max and argmax. Each pass folds one run of neighbouring axes, in a fixed order, so results repeat.

import extremes from "@pkg/kernels/functions/extremes.wgsl";
import keys from "@pkg/kernels/functions/order_key.wgsl";
import argmaxKernel from "@pkg/kernels/reductions/argmax.wgsl";
import reduceKernel from "@pkg/kernels/reductions/reduce.wgsl";
import tiledKernel from "@pkg/kernels/reductions/reduce_tiled.wgsl";
import {
  type Case,
  defineOp,
  float32,
  type GpuCall,
  type KernelCall,
  type NdArray,
  type Op,
  type Temporary,
  type View,
  type WasmCall,
  type WasmOperands,
} from "../../op.ts";
import { formatShape, type Shape, ShapeError, sizeOf, stridesOf } from "../../shape.ts";
import { folding, grainOf } from "../dispatch.ts";
import { elementReader } from "../elementwise/elementwise.ts";

/** Ascending distinct axes; the result keeps them with size 1. */
interface ReduceAttrs {
  readonly axes: readonly number[];
}

interface Reduction extends Pick<Op<ReduceAttrs>, "name" | "vjp" | "saves" | "tolerance"> {
  readonly identity: number;
  readonly wgsl: Combination;
  /** The kernel in WebAssembly. */
  readonly wasm: string;
  readonly cpu: (a: number, b: number) => number;
}

/** How two results become one in WGSL: expressions in a and b, for numbers and for vectors of four, and what they begin with. */
interface Combination {
  readonly pair: string;
  readonly quad: string;
  /** A number that changes nothing. */
  readonly identity: string;
  /** Functions that these call. */
  readonly library?: string;
}

/** A reduction of the middle axis of [outer, reduced, inner]. */
interface Extents {
  readonly outer: number;
  readonly reduced: number;
  readonly inner: number;
}

const CHUNK = 64;
// Up to this many elements one thread is as fast as several, whose rows are these at least, and as long.
const [WASM_WHOLE, WASM_ROWS, WASM_CHUNK] = [32768, 32, 64];
const ADDING: Combination = { pair: "a + b", quad: "a + b", identity: "return 0.0;" };
const TAKING_THE_LARGER: Combination = {
  pair: "larger(a, b)",
  quad: "larger4(a, b)",
  // −∞ is no constant expression in WGSL, but a variable's bits may be its.
  identity: "var bits = 0xff800000u; return bitcast<f32>(bits);",
  library: extremes,
};

export const sum = reduction({
  name: "sum",
  identity: 0,
  wgsl: ADDING,
  wasm: "sum",
  cpu: (a, b) => a + b,
  vjp: ([g], [x]) => [g.expand(x.shape)],
  saves: {},
  tolerance: { terms: ([shape]) => sizeOf(shape), abs: 1e-30 },
});

export const max = reduction({
  name: "max",
  identity: Number.NEGATIVE_INFINITY,
  wgsl: TAKING_THE_LARGER,
  wasm: "largest",
  cpu: Math.max,
  vjp([g], [x], [y], { axes }) {
    const isLargest = x.equal(y);
    return [isLargest.where(g.div(isLargest.cast("float32").sum(axes, { keepAxes: true })), 0)];
  },
  saves: { inputs: [0], outputs: [0] },
  tolerance: { ulp: 0 },
});

/** The index of the largest element along an axis, the first of equal ones, or of the first NaN; the axis keeps size 1. */
export const argmax = defineOp<{ readonly axis: number }>({
  name: "argmax",
  infer([x], { axis }) {
    if (x.shape[axis] === 0) {
      throw new ShapeError(`argmax: axis ${axis} of ${formatShape(x.shape)}, want at least one element`);
    }
    return [{ shape: x.shape.with(axis, 1), dtype: "int32" }];
  },
  cpu([out], [x], { axis }) {
    const inner = sizeOf(x.shape.slice(axis + 1));
    const length = x.shape[axis];
    const read = elementReader(x);
    for (let at = 0; at < sizeOf(out.shape); at++) {
      const first = Math.floor(at / inner) * length * inner + (at % inner);
      let best = 0;
      for (let r = 1; r < length; r++) if (isAbove(read(first + r * inner), read(first + best * inner))) best = r;
      out.data[out.offset + at] = best;
    }
  },
  gpu({ inputs: [x], outputs: [out], attrs: { axis } }) {
    const size = sizeOf(out.shape);
    return [
      {
        kernel: argmaxKernel,
        library: keys,
        constants: { key: "return order_key(bits);" },
        params: { size, reduced: x.shape[axis], inner: sizeOf(x.shape.slice(axis + 1)) },
        bindings: [x, out],
        grid: { threads: size },
      },
    ];
  },
  cases: [
    { inputs: [[33]], attrs: { axis: 0 } },
    { inputs: [[2, 5, 3]], attrs: { axis: 1 } },
    { inputs: [{ shape: [3, 4], values: [1, 2, 2, 0, -1, -1, -1, -1, -4, -3, -2, -2] }], attrs: { axis: 1 } },
    {
      inputs: [{ shape: [2, 4], values: [1, Number.NaN, Infinity, Number.NaN, -Infinity, -Infinity, -3.4e38, 0] }],
      attrs: { axis: 1 },
    },
  ],
  errors: [{ inputs: [[2, 0]], attrs: { axis: 1 }, error: "argmax: axis 1 of [2, 0]" }],
  tolerance: { ulp: 0 },
});

/** Whether a number is above another; NaN is above all numbers, and not above another NaN. */
function isAbove(a: number, b: number): boolean {
  return a > b || (Number.isNaN(a) && !Number.isNaN(b));
}

function reduction({ name, identity, wgsl, wasm, cpu, ...rules }: Reduction): Op<ReduceAttrs> {
  const cases: Case<ReduceAttrs>[] = [
    { inputs: [[7]], attrs: { axes: [0] } },
    { inputs: [[129]], attrs: { axes: [0] } },
    { inputs: [[5, 33]], attrs: { axes: [1] } },
    { inputs: [[65, 6]], attrs: { axes: [0] } },
    { inputs: [[300, 32]], attrs: { axes: [0] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [0, 2] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [1, 3] } },
    { inputs: [[3, 4]], attrs: { axes: [0, 1] } },
  ];
  return defineOp<ReduceAttrs>({
    name,
    infer([x], { axes }) {
      if (name === "max" && axes.some((axis) => x.shape[axis] === 0)) {
        throw new ShapeError(
          `${name}: axes ${formatShape(axes)} of ${formatShape(x.shape)}, want at least one element`,
        );
      }
      return [float32(x.shape.map((n, k) => (axes.includes(k) ? 1 : n)))];
    },
    cpu([out], [x]) {
      reduceOnHost(out, x, identity, cpu);
    },
    wasm: (operands) => wasmPasses(operands, wasm),
    gpu: (call) => passes(call, wgsl),
    ...rules,
    cases,
    errors: [
      { inputs: [{ shape: [2], dtype: "int32" }], attrs: { axes: [0] }, error: `${name}: types int32, want float32` },
      ...(name === "max"
        ? [{ inputs: [[2, 0]], attrs: { axes: [1] }, error: "max: axes [1] of [2, 0], want at least one element" }]
        : []),
    ],
  });
}

function reduceOnHost(out: NdArray, x: NdArray, identity: number, combine: (a: number, b: number) => number): void {
  const totals = new Float64Array(sizeOf(out.shape)).fill(identity);
  const target = stridesOf(out.shape);
  const source = stridesOf(x.shape);
  const read = elementReader(x);
  for (let i = 0; i < sizeOf(x.shape); i++) {
    let at = 0;
    for (const [k, n] of x.shape.entries()) if (out.shape[k] !== 1) at += (Math.floor(i / source[k]) % n) * target[k];
    totals[at] = combine(totals[at], read(i));
  }
  for (const [at, total] of totals.entries()) out.data[out.offset + at] = total;
}

/** From the last run of reduced axes to the first, each in as many passes as its length needs. */
function passes(
  { inputs: [x], outputs: [out], attrs: { axes }, target, temporary }: GpuCall<ReduceAttrs>,
  wgsl: Combination,
): KernelCall[] {
  const runs = runsOf(x.shape, axes);
  const planned = target.profile === "tiled" ? tiledPass : directPass;
  const calls: KernelCall[] = [];
  let from: View | Temporary = x;
  let inner = 1;
  for (let k = runs.length - 1; k >= 0; k--) {
    if (!runs[k].reduced) {
      inner *= runs[k].size;
      continue;
    }
    const outer = sizeOf(runs.slice(0, k).map(({ size }) => size));
    let reduced = runs[k].size;
    do {
      const { chunks, call } = planned({ outer, reduced, inner }, wgsl);
      const isLast = chunks === 1 && !runs.slice(0, k).some((run) => run.reduced);
      const to = isLast ? out : temporary(outer * chunks * inner);
      calls.push({ ...call, bindings: [from, to] });
      from = to;
      reduced = chunks;
    } while (reduced > 1);
  }
  return calls;
}

/** One pass of a sum over the middle axis of [outer, reduced, inner], for other ops' partial sums on GPUs. */
export function sumPass(extents: Extents): Pass {
  return tiledPass(extents, ADDING);
}

interface Pass {
  /** How many partial results it leaves of each. */
  readonly chunks: number;
  readonly call: Omit<KernelCall, "bindings">;
}

/** One pass over the middle axis of [outer, reduced, inner], an invocation for each chunk. */
function directPass({ outer, reduced, inner }: Extents, { pair, identity, library }: Combination): Pass {
  const chunks = Math.max(1, Math.ceil(reduced / CHUNK));
  const size = outer * chunks * inner;
  return {
    chunks,
    call: {
      kernel: reduceKernel,
      library,
      constants: { identity, CHUNK: `${CHUNK}u`, combine: `return ${pair};` },
      params: { size, reduced, chunks, inner },
      grid: { threads: size },
    },
  };
}

/** The same, several invocations for each chunk, and four neighbouring elements at a time where they lie so. */
function tiledPass({ outer, reduced, inner }: Extents, { pair, quad, identity, library }: Combination): Pass {
  const isRow = inner === 1;
  const isVector = (isRow ? reduced : inner) % 4 === 0;
  const length = isRow && isVector ? reduced / 4 : reduced;
  const across = isVector && !isRow ? inner / 4 : inner;
  const outputs = outer * across;
  const {
    lanes,
    columns,
    blocks,
    chunk,
    shares: chunks,
  } = folding(tiledKernel, "tiled", { outputs, length, across, isVector });
  const folded = "return combine_pair(combine_pair(v.x, v.y), combine_pair(v.z, v.w));";
  return {
    chunks,
    call: {
      kernel: tiledKernel,
      library,
      constants: {
        Vector: isVector ? "vec4<f32>" : "f32",
        Result: isVector && !isRow ? "vec4<f32>" : "f32",
        identity,
        combine: `return ${isVector ? quad : pair};`,
        combine_pair: `return ${pair};`,
        finish: isVector && isRow ? folded : "return v;",
      },
      params: { outputs, reduced: length, chunk, chunks, inner: across, blocks, lanes, lane_step: isRow ? 1 : columns },
      grid: { workgroups: blocks * chunks },
    },
  };
}

/** As `passes`; a run that is long, and beside few others, in chunks that are reduced once more. */
function wasmPasses(
  { inputs: [x], outputs: [out], attrs: { axes }, temporary }: WasmOperands<ReduceAttrs>,
  kernel: string,
): WasmCall[] {
  const runs = runsOf(x.shape, axes);
  const calls: WasmCall[] = [];
  let from: View | Temporary = x;
  let inner = 1;
  for (let k = runs.length - 1; k >= 0; k--) {
    if (!runs[k].reduced) {
      inner *= runs[k].size;
      continue;
    }
    const outer = sizeOf(runs.slice(0, k).map(({ size }) => size));
    let reduced = runs[k].size;
    do {
      const few = Math.ceil(WASM_ROWS / outer);
      const chunk = Math.max(
        1,
        reduced * inner * outer > WASM_WHOLE ? Math.max(WASM_CHUNK, Math.ceil(reduced / few)) : reduced,
      );
      const chunks = Math.max(1, Math.ceil(reduced / chunk));
      const isLast = chunks === 1 && !runs.slice(0, k).some((run) => run.reduced);
      const to: View | Temporary = isLast ? out : temporary(outer * chunks * inner);
      calls.push({
        kernel,
        rows: outer * chunks,
        grain: grainOf(chunk * inner),
        args: { out: to, x: from, reduced, chunk, inner },
      });
      from = to;
      reduced = chunks;
    } while (reduced > 1);
  }
  return calls;
}

/** Neighbouring axes that are all reduced, or all kept, as one; axes of size 1 belong to either. */
function runsOf(shape: Shape, axes: readonly number[]): { size: number; reduced: boolean }[] {
  const runs: { size: number; reduced: boolean }[] = [];
  for (const [k, size] of shape.entries()) {
    const reduced = axes.includes(k);
    const last = runs.at(-1);
    if (last && (last.reduced === reduced || size === 1)) last.size *= size;
    else runs.push({ size, reduced });
  }
  return runs.some((run) => run.reduced) ? runs : [...runs, { size: 1, reduced: true }];
}
