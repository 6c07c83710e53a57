// Reductions over any axes: sum and max. Each pass folds one run of neighbouring axes, in a fixed order, so results repeat.

import reduceKernel from "@pkg/kernels/reduce.wgsl";
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
} from "../op.ts";
import { formatShape, type Shape, ShapeError, sizeOf, stridesOf } from "../shape.ts";
import { linearGrid } from "./dispatch.ts";
import { elementReader } from "./elementwise.ts";

/** Ascending distinct axes; the result keeps them with size 1. */
interface ReduceAttrs {
  readonly axes: readonly number[];
}

interface Reduction extends Pick<Op<ReduceAttrs>, "name" | "vjp" | "saves" | "tolerance"> {
  readonly identity: number;
  readonly wgsl: string;
  readonly cpu: (a: number, b: number) => number;
}

const CHUNK = 64;
const WORKGROUP = 64;
const LOWEST = -3.4e38; // WGSL may assume that there is no −∞

export const sum = reduction({
  name: "sum",
  identity: 0,
  wgsl: "a + b",
  cpu: (a, b) => a + b,
  vjp: ([g], [x]) => [g.expand(x.shape)],
  saves: {},
  tolerance: { terms: ([shape]) => sizeOf(shape), abs: 1e-30 },
});

export const max = reduction({
  name: "max",
  identity: LOWEST,
  wgsl: "max(a, b)",
  cpu: Math.max,
  vjp([g], [x], [y], { axes }) {
    const largest = x.equal(y).cast("float32");
    return [largest.mul(g.div(largest.sum(axes, { keepAxes: true })))];
  },
  saves: { inputs: [0], outputs: [0] },
  tolerance: { ulp: 0 },
});

function reduction({ name, identity, wgsl, cpu, ...rules }: Reduction): Op<ReduceAttrs> {
  const cases: Case<ReduceAttrs>[] = [
    { inputs: [[7]], attrs: { axes: [0] } },
    { inputs: [[129]], attrs: { axes: [0] } },
    { inputs: [[5, 33]], attrs: { axes: [1] } },
    { inputs: [[65, 6]], attrs: { axes: [0] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [0, 2] } },
    { inputs: [[2, 3, 4, 5]], attrs: { axes: [1, 3] } },
    { inputs: [[3, 4]], attrs: { axes: [0, 1] } },
  ];
  return defineOp<ReduceAttrs>({
    name,
    infer([x], { axes }) {
      if (x.dtype !== "float32") throw new Error(`${name}: type ${x.dtype}, want float32`);
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
    gpu: (call) => passes(call, identity, wgsl),
    ...rules,
    cases,
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
  { inputs: [x], outputs: [out], attrs: { axes }, temporary }: GpuCall<ReduceAttrs>,
  identity: number,
  wgsl: string,
): KernelCall[] {
  const runs = runsOf(x.shape, axes);
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
      const chunks = Math.max(1, Math.ceil(reduced / CHUNK));
      const size = outer * chunks * inner;
      const isLast = chunks === 1 && !runs.slice(0, k).some((run) => run.reduced);
      const to = isLast ? out : temporary(size);
      calls.push({
        kernel: reduceKernel,
        constants: { IDENTITY: identity, CHUNK: `${CHUNK}u`, WORKGROUP: `${WORKGROUP}u`, combine: `return ${wgsl};` },
        params: { size, reduced, chunks, inner },
        bindings: [from, to],
        workgroups: linearGrid(size, WORKGROUP),
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
