// A captured step under way: its calls are noted, compared with those of earlier steps, and done when it has ended.

import type { Backend } from "../backend.ts";
import type { Elements } from "../compute.ts";
import type { Pending } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import { type Spec, sameShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { Displaced } from "./displaced.ts";
import { execute } from "./execute.ts";
import { Following } from "./following.ts";
import { Loads } from "./loads.ts";
import { Notes } from "./notes.ts";
import { record, replay } from "./recording.ts";
import { type Region, Regions } from "./regions.ts";
import { Snapshots } from "./snapshots.ts";
import { StepStorages } from "./storages.ts";
import type { Run, Trace } from "./trace.ts";

/** An input as it is handed to an op's rules: `base` elements of its storage stand before it. */
export interface Bound {
  readonly elements: Elements;
  readonly base: number;
}

/** How a step ended. */
export interface Outcome {
  /** The trace that was replayed, or a new one of the step; null if there is neither. */
  readonly trace: Trace | null;
  /** A trace of the same calls that could not be replayed. */
  readonly replaces: Trace | null;
  readonly isReplayed: boolean;
  /** Why it was not replayed, in words; "" if it was. */
  readonly reason: string;
}

export class Tracer implements Pending {
  readonly backend: Backend;
  /** Whether it notes nothing more, because it has ended, failed, or been read before its end. */
  isOver = false;
  private readonly snapshots = new Snapshots();
  private readonly storages: StepStorages;
  private readonly notes: Notes;
  private readonly following: Following;
  private readonly loads: Loads;
  private readonly displaced: Displaced;
  private readonly regions: Regions;
  /** Whether an op's own work is under way, whose requests are no calls. */
  private isWithin = false;
  private error: unknown;
  private readonly reads: { done(): void; fail(error: unknown): void }[] = [];
  private readonly leave: (tracer: Tracer) => void;

  /** @param traces those of earlier steps @param leave is called once the step is over */
  constructor(backend: Backend, traces: readonly Trace[], leave: (tracer: Tracer) => void) {
    this.backend = backend;
    this.leave = leave;
    this.storages = new StepStorages(backend, this);
    this.notes = new Notes(this.storages);
    this.following = new Following(traces, this.storages, this.notes, this.snapshots);
    this.loads = new Loads(this.storages, this.notes, this.following);
    this.displaced = new Displaced(this.storages, this.notes, this.following);
    this.regions = new Regions(this.storages, this.notes, this.following, this.displaced, this.snapshots);
  }

  // -- calls of the engine -----------------------------------------------------------------------------------------------

  /** An op on elements. @param computed computes it, by way of `blank` and `run` */
  compute<Attrs>(
    op: Op<Attrs>,
    given: readonly Elements[],
    attrs: Attrs,
    computed: (inputs: readonly Elements[]) => readonly Elements[],
  ): readonly Elements[] {
    if (this.isWithin) return computed(given);
    const { storages, following, loads } = this;
    if (op.view && storages.isExternal(given[0].storage) && op.view(given[0].layout, attrs)) {
      storages.note(given[0]);
      return computed(given); // another view of an external storage
    }
    const inputs = given.map((input, k) => (op.inPlace?.includes(k) ? input : loads.wholeOf(input)));
    const call = following.expectedOp(op as Op<unknown>, inputs, attrs);
    if (call) return call.outputs.map((output) => storages.take(output, inputs));
    return this.noteOp(op as Op<unknown>, inputs, attrs, computed);
  }

  /** Elements in new storage, which are not computed yet. */
  blank(spec: Spec, label: string): Elements {
    return this.storages.blank(spec, label);
  }

  /** One run of an op on the operands that its rules take. */
  run<Attrs>(op: Op<Attrs>, outputs: readonly Elements[], inputs: readonly Bound[], attrs: Attrs): void {
    const { storages, notes } = this;
    const run: Run = {
      op: op as Op<unknown>,
      attrs: this.snapshots.of(attrs),
      inputs: inputs.map(({ elements, base }) => storages.operandOf(elements, base)),
      outputs: outputs.map((output) => storages.operandOf(output, 0)),
    };
    if (!op.inPlace) {
      notes.append(run);
      return;
    }
    notes.appendLate(run);
    for (const { storage } of outputs) storages.overwrite(storage);
  }

  /** The upload of a tensor's numbers from the host. */
  upload(spec: Spec, data: ArrayLike<number>): Elements {
    const { storages, notes, following } = this;
    const copy = (data as number[] | Float32Array).slice(); // it is written when the step has ended
    const call = following.expected(
      (next) =>
        next.kind === "upload" && next.output.dtype === spec.dtype && sameShape(next.output.layout.shape, spec.shape),
    );
    if (call?.kind === "upload") {
      following.changes.set(call.run, { ...call.run, data: copy });
      return storages.take(call.output, []);
    }
    const elements = storages.blank(spec, "tensor");
    const run: Run = { op: null, attrs: undefined, inputs: [], outputs: [storages.operandOf(elements, 0)], data: copy };
    notes.append(run);
    notes.push({ kind: "upload", output: storages.producedOf(elements, []), run });
    return elements;
  }

  /** `target` is about to lose its storage to `source`. @returns whether its storage is kept, so that the caller must not release it */
  assign(target: Tensor, source: Elements): boolean {
    return this.displaced.assign(target, source);
  }

  /** See `region`. @param tensorOf makes a tensor of elements */
  region<Result>(what: Region, f: () => Result, tensorOf: (elements: Elements) => Tensor): Result {
    const open = this.regions.begin(what, tensorOf);
    if ("result" in open) return open.result as Result; // what f gave, with other tensors
    this.storages.enter(open.uses);
    try {
      const result = f();
      if (!this.isOver) this.regions.end(open, result);
      return result;
    } finally {
      this.storages.exit();
    }
  }

  private noteOp(
    op: Op<unknown>,
    inputs: readonly Elements[],
    attrs: unknown,
    computed: (inputs: readonly Elements[]) => readonly Elements[],
  ): readonly Elements[] {
    const { storages, notes } = this;
    const pieces = inputs.map((input) => storages.pieceOf(input));
    const [runs, late] = [notes.runs.length, new Set(notes.late)];
    let outputs: readonly Elements[];
    this.isWithin = true;
    try {
      outputs = computed(inputs);
    } finally {
      this.isWithin = false;
    }
    const own = [...notes.runs.slice(runs), ...notes.late].filter((run) => !late.has(run)); // some may have been flushed
    notes.push({
      kind: "op",
      op,
      attrs: this.snapshots.of(attrs),
      inputs: pieces,
      outputs: outputs.map((output) => storages.producedOf(output, inputs)),
      run: own.filter((run) => run.op === op).at(-1) ?? null,
    });
    return outputs;
  }

  // -- reading ---------------------------------------------------------------------------------------------------------

  settle(): void {
    if (this.isOver) {
      if (this.error !== undefined) throw this.error;
      return;
    }
    this.following.diverge("");
    this.following.reason = "the elements of a tensor are asked for before the step has ended";
    this.notes.flushLate();
    try {
      execute(this.backend, this.notes.runs, this.storages);
    } catch (error) {
      this.error = error;
      this.displaced.undo();
      throw error;
    } finally {
      this.end();
    }
    this.displaced.settle();
  }

  after<Result>(read: () => Promise<Result>, drop: () => void): Promise<Result> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => {
        drop();
        reject(error);
      };
      if (!this.isOver) this.reads.push({ done: () => resolve(read()), fail });
      else fail(this.error); // what has ended and still has to write has failed
    });
  }

  // -- the end ---------------------------------------------------------------------------------------------------------

  /** Does the work of the step. @throws OutOfMemoryError; then nothing has been overwritten */
  finish(): Outcome {
    if (this.isOver) return { trace: null, replaces: null, isReplayed: false, reason: this.following.reason };
    this.displaced.putBack();
    const outputs = this.storages.held();
    this.following.expectEnd(outputs);
    const { trace } = this.following;
    try {
      const obstacle = trace && replay(this.backend, trace, this.storages, this.following.changes);
      if (obstacle === "") {
        this.end();
        return { trace, replaces: null, isReplayed: true, reason: "" };
      }
      if (obstacle) this.following.diverge(obstacle);
      this.notes.flushLate();
      const { calls, runs } = this.notes;
      const recording = record(this.backend, runs, this.storages, outputs);
      this.end();
      return {
        trace: { calls, runs, numbers: new Map(runs.map((run, k) => [run, k])), outputs, recording },
        replaces: trace,
        isReplayed: false,
        reason: this.following.reason,
      };
    } catch (error) {
      this.error = error;
      this.end();
      throw error;
    }
  }

  /** Drops the work of the step, which has failed. */
  abandon(error: unknown): void {
    if (this.isOver) return;
    this.error = error;
    this.displaced.undo();
    this.end();
  }

  private end(): void {
    this.isOver = true;
    this.storages.end(this.error !== undefined);
    this.leave(this);
    for (const { done, fail } of this.reads) {
      if (this.error === undefined) done();
      else fail(this.error);
    }
  }
}
