// Finds the fastest ways of making kernel calls by timing them on the device, and keeps them for each adapter.

import { expectBackend, expectFunction } from "../../../argument.ts";
import type { Backend, Buffer, Operand } from "../../../backend.ts";
import type { Op, Temporary, View } from "../../../op.ts";
import { spanOf } from "../../../shape.ts";
import type { PlatformDevice } from "../device/platformTypes.ts";
import type { Choice, GpuCall, GpuTarget, KernelCall, WebgpuRule } from "../rule.ts";
import { stopwatch } from "./stopwatch.ts";
import { type Found, readFound, writeFound } from "./store.ts";

/** What `tune` found for one choice of a rule. */
export interface Tuned {
  /** Products of one name share a tiling; sizes are rounded up to powers of two: "conv2d 1 × [131072, 128] × [128, 128], 9 runs". */
  readonly name: string;
  /** Milliseconds of the way that was expected to be fast. */
  readonly before: number;
  /** Milliseconds of the fastest way. */
  readonly after: number;
  /** The fastest way in numbers. For a tiling: the tile's height and width, and the number of shares of its sums. */
  readonly way: readonly number[];
}

/** A choice of a rule, whatever its ways are. */
type AnyChoice = Choice<unknown>;

/** Where a backend looks for the fastest ways; `wanted` are the choices that it was asked about and knew no answer to. */
interface Tuner {
  readonly device: GPUDevice;
  readonly identity: string;
  readonly place: string | undefined;
  readonly found: Found;
  wanted: Map<string, AnyChoice> | null;
  /** Has every op's rule asked again. */
  askAgain(): void;
}

/** A backend that keeps the calls of ops until told otherwise. */
export interface Tunable extends Backend {
  forgetCalls(): void;
}

const MIN_TIME = 4; // ms: what is shorter is repeated until it is not
const MAX_REPEATS = 1024;
const SAMPLES = 5;
const GAIN = 0.98; // a way is taken for faster below this part of the time

const tuners = new WeakMap<Backend, Tuner>();

/**
 * A backend that looks the fastest ways up.
 * @param tuned whether to begin with those that were found on this adapter before, or the place where they are
 */
export async function tunable<Opened extends Tunable>(
  { device, identity }: { readonly device: PlatformDevice; readonly identity: string },
  target: GpuTarget,
  tuned: boolean | string,
  open: (target: GpuTarget) => Opened,
): Promise<Opened> {
  const place = typeof tuned === "string" ? tuned : undefined;
  const found: Found = tuned === false ? new Map() : await readFound(place, identity);
  const backend = open({ ...target, timed: (choice) => lookUp(tuner, choice) });
  const tuner: Tuner = { device, identity, place, found, wanted: null, askAgain: () => backend.forgetCalls() };
  tuners.set(backend, tuner);
  return backend;
}

/**
 * Runs `f` once, then times the matrix products and convolutions that ran in it in several tilings, and uses the fastest from
 * then on: in this backend, and in later ones that are opened with `tuned`. Sums in another tiling are added in another order,
 * so results differ in their last bits from before; in one tiling they are the same bits always. Takes seconds; on software
 * adapters there is nothing to choose, and it only runs `f`.
 * @param f for instance a training step
 * @returns what was found for products that had not been timed on this adapter
 * @throws Error for other backends, and when what was found cannot be stored; it is used nonetheless
 */
export async function tune(backend: Backend, f: () => unknown): Promise<readonly Tuned[]> {
  expectBackend("tune", "backend", backend);
  expectFunction("tune", "f", f);
  const tuner = tuners.get(backend);
  if (!tuner) throw new Error(`tune: ${backend.name} has nothing to time, want a webgpu backend`);
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
  const found: Found = new Map();
  for (const [key, choice] of wanted) {
    const scratch = new Scratch(backend);
    try {
      const { before, after, way } = await search(choice, (way) => {
        const op = timing(choice, way, scratch);
        const run = () => backend.run(op, [], [], undefined);
        return timeOf((work) => stopwatch(tuner.device, work, () => backend.settled()), run);
      });
      results.push({ name: choice.name, before, after, way: choice.encode(way) });
      found.set(key, choice.encode(way));
      tuner.found.set(key, choice.encode(way));
    } finally {
      tuner.askAgain();
      scratch.free();
    }
  }
  if (found.size > 0) await writeFound(tuner.place, tuner.identity, found);
  return results;
}

/**
 * The fastest way of a choice: of the likely ones, and then of those that each direction leads to, as long as that helps.
 * @param time milliseconds in a way
 */
export async function search<Way>(
  { likely: [likely, ...others], directions }: Pick<Choice<Way>, "likely" | "directions">,
  time: (way: Way) => Promise<number>,
): Promise<{ readonly before: number; readonly after: number; readonly way: Way }> {
  const before = await time(likely);
  let best = { way: likely, after: before };
  const isBetter = async (way: Way): Promise<boolean> => {
    const after = await time(way);
    if (after >= GAIN * best.after) return false;
    best = { way, after };
    return true;
  };
  for (const other of others) await isBetter(other);
  for (const onward of directions) {
    let next = onward(best.way);
    while (next !== null && (await isBetter(next))) next = onward(next);
  }
  return { before, ...best };
}

function lookUp<Way>(tuner: Tuner, choice: Choice<Way>): Way | null {
  const key = `${choice.name} ${choice.version}`;
  const known = tuner.found.get(key);
  if (known) return choice.decode(known);
  if (tuner.wanted && !tuner.wanted.has(key)) tuner.wanted.set(key, choice as AnyChoice); // its ways go back to it alone
  return null;
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

/** What runs the calls of a choice in one way, on scratch instead of the operands that it was asked for with. */
function timing<Way>(choice: Choice<Way>, way: Way, scratch: Scratch): Op {
  const calls: WebgpuRule<undefined>["calls"] = (call: GpuCall<undefined>) => {
    const own = new Set<KernelCall["bindings"][number]>();
    const temporary = (size: number) => {
      const made = call.temporary(size);
      own.add(made);
      return made;
    };
    const inPlaceOf = (binding: View | Temporary) =>
      own.has(binding) ? binding : scratch.inPlaceOf(binding as View | (View & Temporary)); // nobody binds another's bare scratch
    return choice.calls(way, temporary).map((made) => ({ ...made, bindings: made.bindings.map(inPlaceOf) }));
  };
  return { name: "tune", infer: () => [], webgpu: { calls }, tolerance: {}, cases: [] };
}

/** Buffers of random numbers instead of the original ones, which may be gone by now: GPUs are faster on zeros. */
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
