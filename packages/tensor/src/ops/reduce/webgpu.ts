// Reductions, functions of rows and running sums on WebGPU: passes that fold neighbouring axes in a fixed order, so that results repeat.

import fillKernel from "@pkg/kernels/elementwise/fill.wgsl";
import extremes from "@pkg/kernels/functions/extremes.wgsl";
import keys from "@pkg/kernels/functions/order_key.wgsl";
import strange from "@pkg/kernels/functions/strange.wgsl";
import argmaxKernel from "@pkg/kernels/reductions/argmax.wgsl";
import countKernel from "@pkg/kernels/reductions/count_non_finite.wgsl";
import cumsumKernel from "@pkg/kernels/reductions/cumsum.wgsl";
import reduceKernel from "@pkg/kernels/reductions/reduce.wgsl";
import tiledKernel from "@pkg/kernels/reductions/reduce_tiled.wgsl";
import softmaxKernel from "@pkg/kernels/reductions/softmax.wgsl";
import type { GpuCall, KernelCall, WebgpuRule } from "../../backends/webgpu/rule.ts";
import type { Temporary, View } from "../../op.ts";
import { sizeOf } from "../../shape.ts";
import { folding } from "./folding.ts";
import type { AxisAttrs, ReduceAttrs } from "./reduce.ts";
import { runsOf } from "./runs.ts";

/** How two results become one in WGSL: expressions in a and b, for numbers and for vectors of four, and what they begin with. */
export interface Combination {
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
/** Elements that an invocation of the count looks at. */
const PER_THREAD = 64;
/** a + b. */
export const SUM: Combination = { pair: "a + b", quad: "a + b", identity: "return 0.0;" };
/** The larger of a and b; NaN if either is. */
export const LARGEST: Combination = {
  pair: "larger(a, b)",
  quad: "larger4(a, b)",
  // −∞ is no constant expression in WGSL, but a variable's bits may be its.
  identity: "var bits = 0xff800000u; return bitcast<f32>(bits);",
  library: extremes,
};

/** The rule of a reduction by a combination. */
export function reduceWebgpu(wgsl: Combination): WebgpuRule<ReduceAttrs> {
  return { calls: (call) => passes(call, wgsl) };
}

export const argmaxWebgpu: WebgpuRule<AxisAttrs> = {
  calls({ inputs: [x], outputs: [out], attrs: { axis } }) {
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
};

export const cumsumWebgpu: WebgpuRule<AxisAttrs> = { calls: scan };

/** The rule of a function of rows: an expression in an element, the row's largest one and the sum of their exponentials. */
export function rowsWebgpu(wgsl: string, isReduction: boolean): WebgpuRule<undefined> {
  return { calls: (call) => [rowCall(call, wgsl, isReduction)] };
}

/** A dispatch per input, so that any number of them can be bound. */
export const countNonFiniteWebgpu: WebgpuRule<undefined> = {
  calls({ inputs, outputs: [out] }) {
    const toZero = { kernel: fillKernel, constants: { Out: "u32" }, params: { bits: 0 }, bindings: [out] };
    const counts = inputs.map((x) => {
      const size = sizeOf(x.shape);
      const threads = Math.ceil(size / PER_THREAD);
      return {
        kernel: countKernel,
        params: { size, threads },
        bindings: [x, out],
        grid: { threads },
      };
    });
    return [{ ...toZero, grid: { threads: 1 } }, ...counts];
  },
};

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
  return tiledPass(extents, SUM);
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

/** Sums of the chunks, running sums of those, and running sums within each chunk on top. */
function scan({ inputs: [x], outputs: [out], attrs: { axis }, temporary }: GpuCall<AxisAttrs>): KernelCall[] {
  const outer = sizeOf(x.shape.slice(0, axis));
  const inner = sizeOf(x.shape.slice(axis + 1));
  const scanLine = (from: View | Temporary, to: View | Temporary, length: number): KernelCall[] => {
    const chunks = Math.ceil(length / CHUNK);
    const size = outer * chunks * inner;
    const calls: KernelCall[] = [];
    let before = from;
    if (chunks > 1) {
      const sums = temporary(size);
      calls.push({
        kernel: reduceKernel,
        constants: { CHUNK: `${CHUNK}u` },
        params: { size, reduced: length, chunks, inner },
        bindings: [from, sums],
        grid: { threads: size },
      });
      before = temporary(size);
      calls.push(...scanLine(sums, before, chunks));
    }
    calls.push({
      kernel: cumsumKernel,
      constants: { HAS_BEFORE: chunks > 1, CHUNK: `${CHUNK}u` },
      params: { size, length, chunks, inner },
      bindings: [from, before, to],
      grid: { threads: size },
    });
    return calls;
  };
  return scanLine(x, out, x.shape[axis]);
}
function rowCall({ inputs: [x], outputs: [out], target }: GpuCall<undefined>, wgsl: string, isReduction: boolean) {
  const elements = x.shape[x.shape.length - 1];
  const rows = sizeOf(x.shape) / elements;
  const isVector = elements % 4 === 0;
  const length = isVector ? elements / 4 : elements;
  const { WORKGROUP, lanes, blocks } = folding(softmaxKernel, target.profile, {
    outputs: rows,
    length,
    across: 1,
    isVector,
  });
  return {
    kernel: softmaxKernel,
    library: strange,
    constants: {
      Vector: isVector ? "vec4<f32>" : "f32",
      Result: isVector && !isReduction ? "vec4<f32>" : "f32",
      IS_REDUCTION: isReduction,
      WORKGROUP,
      ...(isVector
        ? {}
        : {
            largest_of: "return v;",
            sum_of: "return v;",
            has_nan: "return (bitcast<u32>(v) & 0x7fffffffu) > INFINITE;",
          }),
      of_peak: isReduction ? "return peak;" : "return Result(strange(NAN));",
      result: `return ${wgsl};`,
    },
    params: { rows, length, lanes },
    bindings: [x, out],
    grid: { workgroups: blocks },
  };
}
