// Finds the fastest tilings of contractions by timing them on the device, and keeps them for each adapter.

import { expectBackend, expectFunction } from "../../../argument.ts";
import type { Backend, Buffer, Operand } from "../../../backend.ts";
import type { GpuTarget, KernelCall, Op, Temporary, View } from "../../../op.ts";
import { likelyTilings, type Product, type Retiled, type Tiling, tilingIn } from "../../../ops/matmul/tiles.ts";
import { spanOf } from "../../../shape.ts";
import type { PlatformDevice } from "../device/platformTypes.ts";
import { stopwatch } from "./stopwatch.ts";
import { readTilings, type StoredTilings, writeTilings } from "./tilingStore.ts";

/** What `tune` found for one kind of product. */
export interface Tuned {
  /** The kernel and the sizes of its product, rounded up to powers of two: "conv2d 1 × [131072, 128] × [128, 128], 9 runs". */
  readonly product: string;
  /** Milliseconds in the tiling that is expected to be fast, and in the one that is. */
  readonly before: number;
  readonly after: number;
  /** The latter. */
  readonly tiling: Tiling;
}

/** Where a backend looks for tilings; `wanted` are the products that it was asked for and had none. */
interface Tuner {
  readonly device: GPUDevice;
  readonly identity: string;
  readonly target: GpuTarget;
  readonly place: string | undefined;
  readonly found: StoredTilings;
  wanted: Map<string, { readonly product: Product; readonly calls: Retiled }> | null;
  /** Has every op's rule asked again for the tilings of its products. */
  askAgain(): void;
}

/** A backend that keeps the calls of ops, tilings and all, until told otherwise. */
export interface Tunable extends Backend {
  forgetCalls(): void;
}

const MIN_TIME = 4; // ms: what is shorter is repeated until it is not
const MAX_REPEATS = 1024;
const SAMPLES = 5;
const GAIN = 0.98; // a tiling is taken for faster below this part of the time

const tuners = new WeakMap<Backend, Tuner>();

/**
 * A backend that looks its tilings up.
 * @param tuned whether to begin with those that were found on this adapter before, or the place where they are
 */
export async function tunable<Opened extends Tunable>(
  { device, identity }: { readonly device: PlatformDevice; readonly identity: string },
  target: GpuTarget,
  tuned: boolean | string,
  open: (target: GpuTarget) => Opened,
): Promise<Opened> {
  const place = typeof tuned === "string" ? tuned : undefined;
  const found: StoredTilings = tuned === false ? new Map() : await readTilings(place, identity);
  const backend = open({ ...target, timed: (kernel, product, calls) => lookUp(tuner, kernel, product, calls) });
  const tuner: Tuner = { device, identity, target, place, found, wanted: null, askAgain: () => backend.forgetCalls() };
  tuners.set(backend, tuner);
  return backend;
}

/**
 * Runs `f` once, then times the matrix products and convolutions that ran in it in several tilings, and uses the fastest from then on:
 * in this backend, and in later ones that are opened with `tuned`. Sums in another tiling are added in another order, so results
 * differ in their last bits from before; in one tiling they are the same bits always. Takes seconds; on software adapters there
 * is nothing to choose, and it only runs `f`.
 * @param f for instance a training step
 * @returns what was found for products that had not been timed on this adapter
 * @throws Error for other backends, and when what was found cannot be stored; it is used nonetheless
 */
export async function tune(backend: Backend, f: () => unknown): Promise<readonly Tuned[]> {
  expectBackend("tune", "backend", backend);
  expectFunction("tune", "f", f);
  const tuner = tuners.get(backend);
  if (!tuner) throw new Error(`tune: ${backend.name} has no tilings, want a webgpu backend`);
  const wanted: NonNullable<Tuner["wanted"]> = new Map();
  tuner.wanted = wanted;
  tuner.askAgain();
  try {
    await f();
  } finally {
    tuner.wanted = null;
  }
  await backend.settled();
  const results: Tuned[] = [];
  for (const [name, { product, calls }] of wanted) {
    const scratch = new Scratch(backend);
    try {
      const result = await search(product, tuner.target, (tiling) => {
        const op = timing(calls, tiling, scratch);
        const run = () => backend.run(op, [], [], undefined);
        return timeOf((work) => stopwatch(tuner.device, work, () => backend.settled()), run);
      });
      results.push({ product: name, ...result });
      tuner.found.set(name, result.tiling);
    } finally {
      tuner.askAgain();
      scratch.free();
    }
  }
  const found = new Map(results.map(({ product, tiling }) => [product, tiling]));
  if (found.size > 0) await writeTilings(tuner.place, tuner.identity, found);
  return results;
}

/**
 * The fastest tiling of a product: of the likely ones in all tiles, and then of those with twice or half as many shares,
 * as long as that helps.
 * @param time milliseconds in a tiling
 */
export async function search(
  product: Product,
  target: GpuTarget,
  time: (tiling: Tiling) => Promise<number>,
): Promise<Omit<Tuned, "product">> {
  const [likely, ...others] = likelyTilings(product, target).map(({ tiling }) => tiling);
  const before = await time(likely);
  let best = { tiling: likely, after: before };
  const isBetter = async (tiling: Tiling): Promise<boolean> => {
    const after = await time(tiling);
    if (after >= GAIN * best.after) return false;
    best = { tiling, after };
    return true;
  };
  for (const other of others) await isBetter(other);
  for (const factor of [2, 0.5]) {
    for (;;) {
      const { tile, shares } = best.tiling;
      const next = tilingIn(product, target, tile, Math.floor(shares * factor));
      if (!next || next.shares === shares || !(await isBetter(next))) break;
    }
  }
  return { before, ...best };
}

function lookUp(tuner: Tuner, kernel: string, product: Product, calls: Retiled): Tiling | null {
  const name = classOf(tuner.target.half ? `half ${kernel}` : kernel, product);
  const known = tuner.found.get(name);
  if (known) return tilingIn(product, tuner.target, known.tile, known.shares);
  if (tuner.wanted && !tuner.wanted.has(name)) tuner.wanted.set(name, { product, calls });
  return null;
}

/** Products that share a tiling. */
function classOf(kernel: string, { batches, m, n, k, runs }: Product): string {
  const [p, i, j, l] = [batches, m, n, k].map((size) => 2 ** Math.ceil(Math.log2(Math.max(1, size))));
  return `${kernel} ${p} × [${i}, ${l}] × [${l}, ${j}], ${runs} ${runs === 1 ? "run" : "runs"}`;
}

/** Milliseconds of one run: the median of several measurements, each of so many runs that it takes long enough to be true. */
async function timeOf(measure: (work: () => void) => Promise<number>, run: () => void): Promise<number> {
  await measure(run); // compiles
  let repeats = 1;
  const sample = () =>
    measure(() => {
      for (let k = 0; k < repeats; k++) run();
    });
  while ((await sample()) < MIN_TIME && repeats < MAX_REPEATS) repeats *= 2;
  const samples: number[] = [];
  while (samples.length < SAMPLES) samples.push(await sample());
  return samples.sort((a, b) => a - b)[SAMPLES >> 1] / repeats;
}

/** What runs the calls of a product, on scratch instead of the operands that it was asked for with. */
function timing(calls: Retiled, tiling: Tiling, scratch: Scratch): Op {
  const gpu: Op["gpu"] = (call) => {
    const own = new Set<KernelCall["bindings"][number]>();
    const temporary = (size: number) => {
      const made = call.temporary(size);
      own.add(made);
      return made;
    };
    const inPlaceOf = (binding: View | Temporary) =>
      own.has(binding) ? binding : scratch.inPlaceOf(binding as View | (View & Temporary)); // nobody binds another's bare scratch
    return calls(temporary, tiling).map((made) => ({ ...made, bindings: made.bindings.map(inPlaceOf) }));
  };
  return { name: "tune", infer: () => [], gpu, tolerance: {}, cases: [] };
}

/** Buffers of random numbers in the place of others, which may be gone by now: GPUs are faster on zeros. */
class Scratch {
  private readonly backend: Backend;
  /** By the buffer that one stands for, or the number of a temporary one. */
  private readonly buffers = new Map<Buffer | number, Buffer>();

  constructor(backend: Backend) {
    this.backend = backend;
  }

  inPlaceOf(view: View | (View & Temporary)): View {
    const { shape, strides, offset, dtype } = view;
    const key = "temporary" in view ? view.temporary : (view as Operand).buffer; // what the backend handed to the rule
    let buffer = this.buffers.get(key);
    if (!buffer) {
      const size = 4 * Math.ceil((spanOf(view)[1] + 1) / 4); // in whole quads
      buffer = this.backend.allocate(size, "float32", "tune");
      const numbers = Float32Array.from({ length: size }, () => 2 * Math.random() - 1);
      this.backend.upload(buffer, "float32", numbers);
      this.buffers.set(key, buffer);
    }
    const operand: Operand = { shape, strides, offset, dtype, buffer, base: 0 };
    return operand;
  }

  free(): void {
    for (const buffer of this.buffers.values()) this.backend.free(buffer);
  }
}
