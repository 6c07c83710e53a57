// Finding numerical faults: the first op that makes a NaN or an infinity, and the op at which two backends differ.

import { expectBackend, expectFunction } from "../argument.ts";
import type { Backend } from "../backend.ts";
import { concat } from "../join.ts";
import { keep, type Storage, tidy } from "../memory/memory.ts";
import type { NumberArray } from "../op.ts";
import { countNonFinite, type FillAttrs, fill } from "../ops/index.ts";
import { formatShape, type Shape, sizeOf } from "../shape.ts";
import { apply, type Tensor } from "../tensor.ts";
import { observe, unobserved } from "./observer.ts";

/** How many elements of a tensor are NaN or infinite. It is read later. */
interface Count {
  readonly count: Tensor;
  readonly shape: Shape;
  readonly what: string;
  /** Whether the op certainly belongs to f. */
  readonly isCertain: boolean;
}

/** Ops that move or choose elements: they pass on an infinity that is meant. */
const MOVING = new Set(["where", "maximum", "minimum", "copy", "concat", "gather", "gatherAlong"]);

/** The results of one op on two backends. */
export interface NumericsRow {
  /** The index of the op in the run, from 0, without views. */
  readonly index: number;
  /** The op's name. */
  readonly op: string;
  /** The index of the op's output. */
  readonly output: number;
  /** The shape of the output. */
  readonly shape: Shape;
  /** ‖a − b‖ / ‖a‖ for the values a and b on the two backends; NaN or infinite if some elements are. */
  readonly distance: number;
}

/**
 * Runs `f` and finds the first op that makes a NaN or an infinity, also in gradients.
 * The device tests the bits of each result, which about doubles the number of kernels; the counts are read once, at the end. A
 * constant that is not finite is meant, such as a mask's −∞: in ops that read it, and in results that only move it, NaN alone
 * counts.
 * @param f may be async. Node and Deno ignore ops of other tasks that run while f waits. Browsers cannot tell them apart: the
 * error says so
 * @returns what f returns
 * @throws Error naming the op, its index in f, the output, how many elements, and the shapes of the inputs; or the first op
 * that read such elements from outside of f
 */
export async function detectNonFinite<Result>(f: () => Result | Promise<Result>): Promise<Result> {
  expectFunction("detectNonFinite", "f", f);
  const counts: Count[] = [];
  const looked = new WeakSet<Storage>();
  const meant = new WeakSet<Storage>(); // storage that may hold infinities on purpose
  let ops = 0;
  const look = (tensor: Tensor, what: string, isCertain: boolean, onlyNaN = false): void => {
    looked.add(tensor.storage);
    if (tensor.dtype !== "float32") return;
    const count = tidy(() => {
      const faults = onlyNaN ? tensor.isNaN().where(Number.NaN, 0) : tensor;
      return apply(countNonFinite, [faults], undefined, tensor.backend)[0];
    });
    counts.push({ count: keep(count), shape: tensor.shape, what, isCertain });
  };
  try {
    const result = await observe(f, (op, inputs, outputs, isCertain, attrs) => {
      ops++;
      if (op.name === fill.name && !Number.isFinite((attrs as FillAttrs).value)) {
        for (const { storage } of outputs) meant.add(storage);
        for (const { storage } of outputs) looked.add(storage);
        return;
      }
      const isHandedOn = inputs.some(({ storage }) => meant.has(storage));
      for (const [k, input] of inputs.entries()) {
        const isOverwritten = op.inPlace !== undefined && outputs.some(({ storage }) => storage === input.storage);
        if (!isOverwritten && !looked.has(input.storage))
          look(input, `op ${ops}, ${op.name}, is handed, as input ${k},`, isCertain);
      }
      if (op.view) return;
      const shapes = inputs.map(({ shape }) => formatShape(shape)).join(", ") || "none";
      for (const [k, output] of outputs.entries()) {
        look(output, `op ${ops}, ${op.name} of ${shapes}, makes, as output ${k},`, isCertain, isHandedOn);
        if (isHandedOn && MOVING.has(op.name)) meant.add(output.storage);
      }
    });
    await throwFirst(counts);
    return result;
  } finally {
    for (const { count } of counts) count.dispose();
  }
}

async function throwFirst(counts: readonly Count[]): Promise<void> {
  const backends = new Set(counts.map(({ count }) => count.backend));
  const numbers = new Map<Count, number>();
  for (const backend of backends) {
    const here = counts.filter(({ count }) => count.backend === backend);
    const all = unobserved(() => tidy(() => concat(here.map(({ count }) => count.reshape([1])))));
    const data = await all.data();
    all.dispose();
    for (const [k, count] of here.entries()) numbers.set(count, data[k]);
  }
  const first = counts.find((count) => numbers.get(count) !== 0);
  if (!first) return;
  const doubt = first.isCertain
    ? ""
    : " (or another task's, which ran while f waited: this host cannot tell them apart)";
  throw new Error(
    `detectNonFinite: ${first.what} ${numbers.get(first)} NaN or infinite of ${sizeOf(first.shape)} elements ${formatShape(first.shape)}, want finite ones${doubt}`,
  );
}

/**
 * Runs `f` on two backends and compares the results of every op, also in gradients. The distance jumps at the op that differs.
 * The host holds all values of both runs at once.
 * @param f makes its tensors on the given backend, from the same numbers, and runs the same ops in the same order each time
 * @returns one row per output of an op, in the order of the run, without by-products of kernels and views
 * @throws Error when the ops differ
 */
export async function numericsReport(f: (backend: Backend) => unknown, a: Backend, b: Backend): Promise<NumericsRow[]> {
  expectFunction("numericsReport", "f", f);
  expectBackend("numericsReport", "a", a);
  expectBackend("numericsReport", "b", b);
  const [left, right] = [await valuesOf(f, a), await valuesOf(f, b)];
  const rows = left.map(({ data, ...row }, k): NumericsRow => {
    const other = right[k];
    if (!other || describeValue(other) !== describeValue(row)) {
      throw new Error(
        `numericsReport: ${describeValue(row)} on ${a.name} and ${other ? describeValue(other) : "nothing"} on ${b.name}, want the same ops in the same order`,
      );
    }
    return { ...row, distance: distanceOf(data, other.data) };
  });
  if (right.length > left.length) {
    throw new Error(
      `numericsReport: nothing on ${a.name} and ${describeValue(right[left.length])} on ${b.name}, want the same ops in the same order`,
    );
  }
  return rows;
}

type Value = Omit<NumericsRow, "distance"> & { readonly data: NumberArray };

async function valuesOf(f: (backend: Backend) => unknown, backend: Backend): Promise<Value[]> {
  const pending: Promise<Value>[] = [];
  let ops = 0;
  observe(
    () =>
      tidy(() => {
        if (f(backend) instanceof Promise) throw new Error("numericsReport: f is async, want a synchronous function");
      }),
    (op, _, outputs) => {
      if (op.view) return;
      const index = ops++;
      for (const [output, tensor] of outputs.slice(0, op.auxiliary).entries()) {
        pending.push(tensor.data().then((data) => ({ index, op: op.name, output, shape: tensor.shape, data })));
      }
    },
  );
  return Promise.all(pending);
}

function describeValue({ index, op, output, shape }: Omit<Value, "data">): string {
  return `op ${index} is ${op} with output ${output} ${formatShape(shape)}`;
}

function distanceOf(a: NumberArray, b: NumberArray): number {
  let [error, norm] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    error += (a[i] - b[i]) ** 2;
    norm += a[i] ** 2;
  }
  return error === 0 ? 0 : Math.sqrt(error / norm);
}
