// What was queued during a step, as data: dispatches over buffers that are named by the order in which they were allocated.

import type { Difference, Recording, Replay } from "../../../backend.ts";
import type { Op } from "../../../op.ts";
import type { DType, Spec } from "../../../shape.ts";
import type { Place } from "../kernels/bindGroups.ts";
import type { Field } from "../kernels/params.ts";
import type { Kernel } from "../kernels/pipelines.ts";
import type { PreparedCall } from "../kernels/prepared.ts";
import { type GpuBuffer, sizeClass } from "../memory/pool.ts";
import type { KernelCall } from "../rule.ts";

/** A binding: a buffer allocated during the step, by its number, or −1 for one that was there before. */
export interface NotedPlace extends Place {
  readonly transient: number;
}

/** One dispatch. */
export interface Noted {
  readonly op: Op<unknown>;
  /** What the op's perStep rule gets, where the attributes are computed anew at every step. */
  readonly live: { readonly attrs: unknown; readonly inputs: readonly Spec[]; readonly call: number } | null;
  readonly kernel: Kernel;
  readonly params: NonNullable<KernelCall["params"]>;
  /** The parameters that the rule gives. */
  readonly changing: readonly Field[];
  readonly places: readonly NotedPlace[];
  readonly workgroups: readonly [number, number];
}

/** A buffer allocated during the step. */
export interface Transient {
  readonly capacity: number;
  /** The first and last dispatch that binds it; −1 and −1 where none does. */
  first: number;
  last: number;
}

/** An op on its operands. */
export interface OpRun<Attrs> {
  readonly op: Op<Attrs>;
  readonly inputs: readonly Spec[];
  readonly attrs: Attrs;
  /** The index of the kernel call among the op's. */
  readonly call: number;
  /** What the op's perStep rule gives for it. */
  readonly changing: KernelCall["params"];
}

/** A recording in progress, and when it has ended. */
export class Tape implements Recording {
  readonly dispatches: Noted[] = [];
  readonly transients: Transient[] = [];
  /** What the host writes, in order. */
  readonly uploads: { readonly transient: number; readonly dtype: DType }[] = [];
  /** The transients in use now. */
  private readonly living = new Map<GpuBuffer, number>();
  private readonly isLive: (attrs: unknown) => boolean;
  private readonly play: (tape: Tape, outputs: readonly number[]) => Replay;

  constructor(isLive: (attrs: unknown) => boolean, play: (tape: Tape, outputs: readonly number[]) => Replay) {
    this.isLive = isLive;
    this.play = play;
  }

  took(buffer: GpuBuffer): void {
    this.living.set(buffer, this.transients.length);
    this.transients.push({ capacity: sizeClass(buffer.bytes), first: -1, last: -1 });
  }

  gave(buffer: GpuBuffer): void {
    this.living.delete(buffer);
  }

  uploaded(buffer: GpuBuffer, dtype: DType): void {
    const transient = this.living.get(buffer);
    if (transient === undefined) throw new Error("capture: an upload into a buffer made outside, want one made inside");
    this.uploads.push({ transient, dtype });
  }

  dispatched<Attrs>(
    { op, inputs, attrs, call: index, changing: values = {} }: OpRun<Attrs>,
    { kernel, call, workgroups, changing }: PreparedCall,
    places: readonly Place[],
  ): void {
    const at = this.dispatches.length;
    const noted = places.map(({ buffer, base }): NotedPlace => {
      const transient = this.living.get(buffer) ?? -1;
      if (transient >= 0) {
        const lifetime = this.transients[transient];
        if (lifetime.first < 0) lifetime.first = at;
        lifetime.last = at;
      }
      return { buffer, base, transient };
    });
    this.dispatches.push({
      op: op as Op<unknown>, // its perStep rule gets no attributes but its own
      live: this.isLive(attrs)
        ? { attrs, inputs: inputs.map(({ shape, dtype }) => ({ shape, dtype })), call: index }
        : null,
      kernel,
      params: { ...call.params, ...Object.fromEntries(changing.map(({ name }) => [name, values[name]])) },
      changing,
      places: noted,
      workgroups,
    });
  }

  difference(before: Recording): Difference | null {
    const other = before as Tape; // a backend sees no recordings but its own
    const [now, then] = [this, other].map((tape) => opsOf(tape.dispatches));
    const at = now.findIndex((name, k) => name !== then[k]);
    if (at !== -1 || now.length !== then.length) {
      const k = at === -1 ? now.length : at;
      return { reason: `op ${k} is ${now[k] ?? "not there"}, and was ${then[k] ?? "not there"}`, kind: "ops" };
    }
    let difference: Difference | null = null;
    for (const [k, noted] of this.dispatches.entries()) {
      const was = other.dispatches[k];
      const here = `kernel ${k}, of ${noted.op.name},`;
      if (was?.op !== noted.op || was.kernel !== noted.kernel || `${was.workgroups}` !== `${noted.workgroups}`) {
        return { reason: `${here} is another variant`, kind: "place" };
      }
      if (!noted.places.every((place, i) => isSamePlace(place, was.places[i]))) {
        return { reason: `${here} has other operands`, kind: "place" };
      }
      difference ??= numbersOf(here, was, noted);
    }
    if (this.transients.length !== other.transients.length) return { reason: "it allocates otherwise", kind: "place" };
    return difference;
  }

  replay(outputs: readonly object[]): Replay {
    const kept = new Set(outputs as readonly GpuBuffer[]); // a backend sees no buffers but its own
    if ([...this.living.keys()].some((buffer) => !kept.has(buffer))) {
      throw new Error(
        "capture: a tensor made in the function outlives it, want it returned, or assigned to one made outside",
      );
    }
    return this.play(
      this,
      [...outputs].map((buffer) => this.living.get(buffer as GpuBuffer) ?? -1),
    );
  }
}

function isSamePlace(a: NotedPlace, b: NotedPlace): boolean {
  return a.transient === b.transient && a.base === b.base && (a.transient >= 0 || a.buffer === b.buffer);
}

/** The names of the ops that ran; one that ran several times on end counts once, as one whose kernel runs several times does. */
function opsOf(dispatches: readonly Noted[]): string[] {
  return dispatches.map(({ op }) => op.name).filter((name, k) => name !== dispatches[k - 1]?.op.name);
}

/** The first parameter that changed, and is not computed anew. */
function numbersOf(here: string, { params: before }: Noted, { params, changing, live }: Noted): Difference | null {
  const anew = live ? changing.map(({ name }) => name) : [];
  for (const name in params) {
    if (anew.includes(name) || `${before[name]}` === `${params[name]}`) continue;
    const reason = `${here} gets ${name} = ${params[name]}, and got ${before[name]} before (want such numbers in perStep, or as tensors)`;
    return { reason, kind: "numbers" };
  }
  return null;
}
