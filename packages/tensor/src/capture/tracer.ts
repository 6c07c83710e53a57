// A captured step under way: what it asks for is noted, compared with what earlier steps asked for, and done when it has ended.

import { isTensor } from "../argument.ts";
import { type Backend, type Buffer, OutOfMemoryError, type Recording } from "../backend.ts";
import type { Elements } from "../compute.ts";
import { freeLater, type Pending, Storage } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import * as ops from "../ops/layout/copy.ts";
import { contiguousLayout, type DType, isContiguous, type Layout, type Spec, sameShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { execute, type Storages } from "./execute.ts";
import {
  type Call,
  nameOf,
  type OpCall,
  type Piece,
  type Produced,
  type Progress,
  type Ref,
  type RegionCall,
  type Run,
  type RunOperand,
  START,
  sameCall,
  sameData,
  sameLayout,
  samePiece,
  sameStrides,
  type Trace,
} from "./trace.ts";

/** An input as it is handed to an op's rules: `base` elements of its storage stand before it. */
export interface Bound {
  readonly elements: Elements;
  readonly base: number;
}

/** Where a tensor had its elements. */
interface Whereabouts {
  readonly storage: Storage;
  readonly layout: Layout;
}

/** How a step ended. */
export interface Outcome {
  /** The trace that was replayed, or that the step left; null where it can be neither. */
  readonly trace: Trace | null;
  /** A trace that asked for the same and could not be replayed. */
  readonly replaces: Trace | null;
  readonly isReplayed: boolean;
  /** Why it was not replayed, in words; "" where it was. */
  readonly reason: string;
}

/** Work that follows from what is said here alone. */
export interface Region {
  /** Which work it is, by identity. */
  readonly key: unknown;
  /** Values that it depends on, compared by identity: the tensors and numbers that it closes over. */
  readonly same?: readonly unknown[];
  /** Tensors that it gets. */
  readonly inputs: readonly Tensor[];
  /** Plain data that it depends on. */
  readonly settings?: unknown;
  /** Attributes of ops in it, which may change from step to step. */
  readonly attrs?: readonly object[];
}

export class Tracer implements Pending {
  readonly backend: Backend;
  /** Earlier steps. The first is tried first. */
  private readonly traces: readonly Trace[];
  /** The earlier step that has asked for the same so far; null once none has. */
  private following: Trace | null;
  private reason = "";
  /** What has been asked for. While an earlier step is followed, its `calls` up to `at`. */
  private at = 0;
  private calls: Call[] = [];
  private runs: Run[] = [];
  private late: readonly Run[] = [];
  private readonly made: (Storage | undefined)[] = [];
  private readonly external: Storage[] = [];
  private readonly numbers = new Map<Storage, Ref>();
  /** Runs of the step followed that differ in numbers, and what they are now. */
  private readonly changes = new Map<Run, Run>();
  /** What is overwritten by `late` runs. */
  private readonly stale = new Set<Ref>();
  /** Tensors that were assigned other storage; the old one is retained here. */
  private readonly displaced = new Map<Tensor, Whereabouts>();
  /** Parts of larger storages that were copied. */
  private readonly loaded = new Map<Storage, { readonly from: Layout; readonly elements: Elements }[]>();
  /** How many regions are under way, and through which tensor each storage was found first in them. */
  private regions = 0;
  private readonly found = new Map<Storage, Tensor>();
  /** Regions of the step followed that were run, by their calls: what they depended on now. */
  private readonly entered = new Map<
    number,
    Pick<RegionCall, "same" | "inputs" | "settings" | "externals" | "layouts">
  >();
  /** Whether an op's own work is under way: what it asks for is no call. */
  private isWithin = false;
  private isOver = false;
  private error: unknown;
  private readonly reads: { done(): void; fail(error: unknown): void }[] = [];
  private readonly freeAll: () => void;

  constructor(backend: Backend, traces: readonly Trace[]) {
    this.backend = backend;
    this.traces = traces;
    this.following = traces[0] ?? null;
    if (!this.following) this.reason = "it is the first step";
    this.freeAll = freeLater();
  }

  // -- what the engine asks for ------------------------------------------------------------------------------------------

  /** An op on elements. @param computed computes it, by way of `blank` and `run` */
  compute<Attrs>(
    op: Op<Attrs>,
    given: readonly Elements[],
    attrs: Attrs,
    computed: (inputs: readonly Elements[]) => readonly Elements[],
  ): readonly Elements[] {
    if (this.isWithin) return computed(given);
    if (op.view && this.isExternal(given[0].storage) && op.view(given[0].layout, attrs)) {
      this.note(given[0]);
      return computed(given); // another reading of what was there before
    }
    const inputs = given.map((input, k) => (op.inPlace?.includes(k) ? input : this.wholeOf(input)));
    const call = this.expected((next) => this.isOp(next, op as Op<unknown>, inputs, attrs));
    if (call?.kind === "op") return this.takeOp(call, inputs, attrs);
    const pieces = inputs.map((input) => this.pieceOf(input));
    const [runs, late] = [this.runs.length, this.late.length];
    const outputs = this.within(() => computed(inputs));
    const own = [...this.runs.slice(runs), ...this.late.slice(late)];
    this.push({
      kind: "op",
      op: op as Op<unknown>,
      attrs,
      inputs: pieces,
      outputs: outputs.map((output) => this.producedOf(output, inputs)),
      run: own.filter((run) => run.op === (op as Op<unknown>)).at(-1) ?? null,
    });
    return outputs;
  }

  /** Storage of elements that are still to be made. */
  blank({ shape, dtype }: Spec, label: string): Elements {
    const storage = new Storage(this.backend, sizeOf(shape), dtype, label, this);
    storage.id = this.made.length;
    this.made.push(storage);
    return { storage, layout: contiguousLayout(shape), dtype };
  }

  /** One run of an op on operands as its rules take them. */
  run<Attrs>(op: Op<Attrs>, outputs: readonly Elements[], inputs: readonly Bound[], attrs: Attrs): void {
    const run: Run = {
      op: op as Op<unknown>,
      attrs,
      inputs: inputs.map(({ elements, base }) => this.operandOf(elements, base)),
      outputs: outputs.map((output) => this.operandOf(output, 0)),
    };
    if (!op.inPlace) {
      this.append(run);
      return;
    }
    // Overwritten last: a step that fails before has then overwritten nothing.
    this.late = [...this.late, run];
    for (const { storage } of outputs) {
      storage.pending = this;
      this.loaded.delete(storage);
    }
    for (const { ref } of run.outputs) this.stale.add(ref);
  }

  /** A tensor of numbers of the host. */
  upload({ shape, dtype }: Spec, data: ArrayLike<number>): Elements {
    const copy = (data as number[] | Float32Array).slice(); // it is written when the step has ended
    const call = this.expected(
      (next) => next.kind === "upload" && next.output.dtype === dtype && sameShape(next.output.layout.shape, shape),
    );
    if (call?.kind === "upload") {
      this.changes.set(call.run, { ...call.run, data: copy });
      return this.take(call.output, []);
    }
    const elements = this.blank({ shape, dtype }, "tensor");
    const run: Run = { op: null, attrs: undefined, inputs: [], outputs: [this.operandOf(elements, 0)], data: copy };
    this.append(run);
    this.push({ kind: "upload", output: this.producedOf(elements, []), run });
    return elements;
  }

  /** `target` is about to lose its storage to `source`. @returns whether its storage is kept, so that the caller must not release it */
  assign(target: Tensor, source: Elements): boolean {
    if (!this.isExternal(target.storage) && !this.displaced.has(target)) return false; // made in this step
    const piece = this.pieceOf(source);
    const call = this.expected(
      (next) => next.kind === "assign" && next.target === target && samePiece(next.source, piece),
    );
    if (!call) this.push({ kind: "assign", target, source: piece });
    if (source.storage === target.storage) return false;
    return this.displace(target);
  }

  /** See `region`. @param tensorOf makes a tensor of elements */
  region<Result>(what: Region, f: () => Result, tensorOf: (elements: Elements) => Tensor): Result {
    const inputs = what.inputs.map((input) => this.pieceOf(input));
    const call = this.expected((next) => next.kind === "region" && next.key === what.key);
    const at = this.at;
    const externals = this.external.length;
    const before = this.progress();
    if (call?.kind === "region") {
      const skipped = followsFrom(call, what, inputs) && this.skip(call, what.attrs ?? [], tensorOf);
      if (skipped) return skipped.result as Result; // what f gave, with other tensors
      this.at++;
    } else {
      this.calls.push(openRegion(what.key, before));
      this.at++;
    }
    this.regions++;
    try {
      const result = f();
      if (this.isOver) return result;
      if (!this.following) this.calls[at] = this.closedRegion(what, inputs, { before, externals }, result);
      else
        this.entered.set(at, { same: what.same ?? [], inputs, settings: what.settings, ...this.foundSince(externals) });
      return result;
    } finally {
      this.regions--;
    }
  }

  private closedRegion(
    { key, same = [], settings, attrs = [] }: Region,
    inputs: readonly Piece[],
    { before, externals }: { readonly before: Progress; readonly externals: number },
    result: unknown,
  ): RegionCall {
    const found: Tensor[] = [];
    const template = templateOf(result, found);
    const own = [...this.runs.slice(before.runs), ...this.late];
    return {
      kind: "region",
      key,
      same,
      inputs,
      settings,
      ...this.foundSince(externals),
      overwritten: [...new Set(own.flatMap(({ outputs }) => outputs.map(({ ref }) => ref)))].filter((ref) => ref < 0),
      live: own.flatMap((run) => {
        const k = attrs.indexOf(run.attrs as object);
        return k < 0 ? [] : [{ run, attrs: k }];
      }),
      pieces: found.map((tensor) => this.producedOf(tensor, [])),
      result: template,
      end: { call: this.calls.length, progress: this.progress() },
      ...before,
    };
  }

  /** The tensors through which storages were found from a number on. */
  private foundSince(first: number): Pick<RegionCall, "externals" | "layouts"> {
    const used = this.external.slice(first).map((storage) => this.found.get(storage));
    const externals = used.every((tensor) => tensor !== undefined) ? (used as Tensor[]) : null;
    return { externals, layouts: externals?.map(({ layout }) => layout) ?? [] };
  }

  // -- reading ---------------------------------------------------------------------------------------------------------

  settle(): void {
    if (this.isOver) {
      if (this.error !== undefined) throw this.error;
      return;
    }
    this.diverge("");
    this.reason = "the elements of a tensor are asked for before the step has ended";
    this.flushLate();
    try {
      execute(this.backend, this.runs, this.storages);
    } catch (error) {
      this.error = error;
      throw error;
    } finally {
      this.end();
    }
    for (const { storage } of this.displaced.values()) storage.release();
    this.displaced.clear();
  }

  after<Result>(read: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, fail) => {
      this.reads.push({ done: () => resolve(read()), fail });
    });
  }

  // -- the end ---------------------------------------------------------------------------------------------------------

  /** Does what has been asked for. @throws OutOfMemoryError; then nothing has been overwritten */
  finish(): Outcome {
    if (this.isOver) return { trace: null, replaces: null, isReplayed: false, reason: this.reason };
    for (const [tensor, was] of [...this.displaced]) this.putBack(tensor, was);
    const outputs = [...this.made.keys()].filter((ref) => this.made[ref]?.isHeld);
    const isSame = ({ calls, outputs: others }: Trace) => calls.length === this.at && sameShape(others, outputs);
    let { following } = this;
    if (following && !isSame(following)) {
      this.follow((trace) => isSame(trace), `it ends after ${this.at} calls, or keeps other tensors`);
      ({ following } = this);
    }
    try {
      if (following && this.replayed(following)) {
        this.end();
        return { trace: following, replaces: null, isReplayed: true, reason: "" };
      }
      if (following) this.diverge(this.reason || "a number of it chooses another kernel");
      this.flushLate();
      const recording = this.recorded(outputs);
      const { calls, runs, reason } = this;
      this.end();
      return { trace: { calls, runs, outputs, recording }, replaces: following, isReplayed: false, reason };
    } catch (error) {
      this.error = error;
      this.end();
      throw error;
    }
  }

  /** Drops what has been asked for: the step has failed. */
  abandon(error: unknown): void {
    if (this.isOver) return;
    this.error = error;
    for (const [tensor, { storage, layout }] of this.displaced) {
      if (tensor.disposed) storage.release();
      else {
        tensor.storage.release();
        tensor.slot.storage = storage;
        tensor.layout = layout;
      }
    }
    this.displaced.clear();
    this.end();
  }

  private get storages(): Storages {
    return { made: this.made, external: this.external };
  }

  private end(): void {
    this.isOver = true;
    for (const storage of [...this.made, ...this.external]) {
      if (!storage || storage.pending !== this) continue;
      if (this.error === undefined || storage.place) storage.pending = null;
    }
    for (const storage of this.made) if (storage) storage.id = -1;
    this.freeAll();
    leave(this);
    for (const { done, fail } of this.reads) {
      if (this.error === undefined) done();
      else fail(this.error);
    }
  }

  /** Runs what has been asked for, and has it noted how. */
  private recorded(outputs: readonly Ref[]): Recording {
    const stop = this.backend.record?.();
    if (!stop) throw new Error(`capture: ${this.backend.name} cannot record`);
    try {
      execute(this.backend, this.runs, this.storages);
    } catch (error) {
      stop([], []).dispose();
      throw error;
    }
    const placeOf = (storage: Storage | undefined) => storage?.place as Buffer; // it has run
    return stop(
      outputs.map((ref) => placeOf(this.made[ref])),
      this.external.map(placeOf),
    );
  }

  private replayed(trace: Trace): boolean {
    const outputs: Buffer[] = [];
    const free = () => {
      for (const buffer of outputs) this.backend.free(buffer);
    };
    let isDone = false;
    try {
      const storages = trace.outputs.map((ref) => this.made[ref] as Storage); // held ones are there
      for (const { size, dtype } of storages) outputs.push(this.backend.allocate(size, dtype, "capture"));
      isDone = trace.recording.replay({
        inputs: this.external.map((storage) => storage.place as Buffer), // what was there before has its memory
        outputs,
        runs: trace.runs.map((run) => this.changes.get(run) ?? run),
        recorded: trace.runs,
      });
      if (isDone) for (const [k, storage] of storages.entries()) storage.receive(outputs[k]);
      return isDone;
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      this.reason = "its replay does not fit into the budget";
      return false;
    } finally {
      if (!isDone) free();
    }
  }

  private putBack(tensor: Tensor, was: Whereabouts): void {
    this.displaced.delete(tensor);
    if (tensor.disposed) {
      was.storage.release();
      return;
    }
    const source = { storage: tensor.storage, layout: tensor.layout, dtype: tensor.dtype };
    const isFree =
      !was.storage.isShared && isContiguous(was.layout) && was.layout.offset === 0 && isContiguous(source.layout);
    if (!isFree) {
      was.storage.release();
      return;
    }
    const target = this.refOf(was.storage);
    const piece = this.pieceOf(source);
    const call = this.expected(
      (next) => next.kind === "putBack" && next.target === target && samePiece(next.source, piece),
    );
    if (!call) {
      this.flushLate();
      const to = { storage: was.storage, layout: was.layout, dtype: tensor.dtype };
      this.append({
        op: ops.copy as unknown as Op<unknown>,
        attrs: undefined,
        inputs: [this.operandOf(source, 0)],
        outputs: [this.operandOf(to, 0)],
      });
      this.push({ kind: "putBack", target, source: piece });
    }
    was.storage.pending = this;
    tensor.slot.storage = was.storage;
    tensor.layout = was.layout;
    source.storage.release();
  }

  // -- following an earlier step ---------------------------------------------------------------------------------------

  /** The next call of an earlier step that asked for the same up to here, if it is of the kind that is asked for. */
  private expected(isIt: (call: Call) => boolean): Call | null {
    if (!this.following) return null;
    const call = this.following.calls[this.at];
    if (call && isIt(call)) {
      if (call.kind !== "region") this.at++;
      return call;
    }
    const found = this.follow(
      ({ calls }) => calls.length > this.at && isIt(calls[this.at]),
      `op ${this.at} was ${nameOf(call)} before`,
    );
    const next = found?.calls[this.at] ?? null;
    if (next && next.kind !== "region") this.at++;
    return next;
  }

  /** Goes on with another earlier step that asked for the same so far; with none where there is none. */
  private follow(isIt: (trace: Trace) => boolean, reason: string): Trace | null {
    const { following, at } = this;
    if (!following) return null;
    const other = this.traces.find((trace) => trace !== following && isIt(trace) && beginsAs(trace, following, at));
    if (other) this.switchTo(other);
    else this.diverge(reason);
    return other ?? null;
  }

  private switchTo(other: Trace): void {
    const { following, at } = this;
    if (!following) return;
    // Numbers that changed so far are those of the same calls in the other.
    const changed = new Map(this.changes);
    this.changes.clear();
    for (let k = 0; k < at; k++) {
      const [run, theirs] = [runOf(following.calls[k]), runOf(other.calls[k])];
      const now = run && changed.get(run);
      if (now && theirs) this.changes.set(theirs, { ...theirs, attrs: now.attrs, data: now.data, inputs: now.inputs });
    }
    this.following = other;
  }

  /** Nothing more is expected: what comes is new. */
  private diverge(reason: string): void {
    const { following, at } = this;
    if (!following) return;
    this.reason = reason;
    this.following = null;
    this.calls = following.calls.slice(0, at);
    const before = progressAfter(following.calls, at);
    const now = (run: Run) => this.changes.get(run) ?? run;
    this.runs = following.runs.slice(0, before.runs).map(now);
    this.late = before.late.map(now);
    this.stale.clear();
    for (const { outputs } of this.late) for (const { ref } of outputs) this.stale.add(ref);
    this.made.length = before.made; // those without a tensor are nobody's
    // Calls hold the runs that they made: later steps compare numbers with these.
    this.calls = this.calls.map((call, k): Call => {
      if (call.kind === "region") {
        const live = call.live.map((one) => ({ ...one, run: now(one.run) }));
        return { ...call, ...this.entered.get(k), live };
      }
      return "run" in call && call.run ? ({ ...call, run: now(call.run) } as Call) : call;
    });
    this.changes.clear();
  }

  private isOp(call: Call, op: Op<unknown>, inputs: readonly Elements[], attrs: unknown): boolean {
    if (call.kind !== "op" || call.op !== op || call.inputs.length !== inputs.length) return false;
    for (let k = 0; k < inputs.length; k++) {
      const { storage, layout, dtype } = inputs[k];
      const piece = call.inputs[k];
      this.note(inputs[k]);
      if (this.refOf(storage) !== piece.ref || dtype !== piece.dtype || !sameLayout(layout, piece.layout)) return false;
    }
    if (op.inPlace && call.outputs.some(({ input }) => input >= 0 && inputs[input].storage.isShared)) return false;
    if (sameData(call.attrs, attrs)) return true;
    if (op.view || !op.perStep) return false;
    const specs = op.infer(
      inputs.map(({ layout: { shape }, dtype }) => ({ shape, dtype })),
      attrs,
    );
    return specs.every(({ shape, dtype }, k) => {
      const { layout, dtype: was } = call.outputs[k];
      return sameShape(shape, layout.shape) && dtype === was;
    });
  }

  private takeOp(call: OpCall, inputs: readonly Elements[], attrs: unknown): readonly Elements[] {
    if (call.run && call.run.attrs !== attrs && call.op.perStep) this.changes.set(call.run, { ...call.run, attrs });
    return call.outputs.map((output) => this.take(output, inputs));
  }

  /** What a call of an earlier step gave, of this one. */
  private take({ ref, layout, dtype, size, input }: Produced, inputs: readonly Elements[]): Elements {
    if (input < 0) return { storage: this.madeAnew(ref, size, dtype), layout, dtype };
    const storage = inputs[input].storage.retain();
    if (ref < 0) {
      storage.pending = this;
      this.loaded.delete(storage);
    }
    return { storage, layout, dtype };
  }

  private madeAnew(ref: Ref, size: number, dtype: DType): Storage {
    const storage = new Storage(this.backend, size, dtype, "capture", this);
    storage.id = ref;
    this.made[ref] = storage;
    return storage;
  }

  /** Does without running what an earlier step did. @returns null where it has to run */
  private skip(
    region: RegionCall,
    attrs: readonly object[],
    tensorOf: (elements: Elements) => Tensor,
  ): { readonly result: unknown } | null {
    const { end, externals, layouts, overwritten, live, pieces } = region;
    if (!end || !externals || !this.following) return null;
    const storages: Storage[] = [];
    for (const [k, { slot, layout }] of externals.entries()) {
      const { storage } = slot;
      if (!storage || !sameLayout(layout, layouts[k]) || this.numbers.has(storage) || storages.includes(storage))
        return null;
      if (storage.pending === this) return null;
      storages.push(storage);
    }
    const storageOf = (ref: Ref) =>
      ref < 0 ? (this.external[-1 - ref] ?? storages[-1 - ref - this.external.length]) : undefined;
    if (overwritten.some((ref) => storageOf(ref)?.isShared ?? true)) return null;
    for (const storage of storages) this.refOf(storage);
    for (const ref of overwritten) {
      this.external[-1 - ref].pending = this;
      this.loaded.delete(this.external[-1 - ref]);
    }
    for (const { run, attrs: k } of live) this.changes.set(run, { ...run, attrs: attrs[k] });
    const { calls } = this.following;
    for (const call of calls.slice(this.at, end.call))
      if (call.kind === "assign") this.assignAgain(call.target, call.source);
    this.at = end.call;
    const tensors = pieces.map(({ ref, layout, dtype, size }): Elements => {
      if (ref < 0) return { storage: this.external[-1 - ref].retain(), layout, dtype };
      const known = this.made[ref];
      return { storage: known ? known.retain() : this.madeAnew(ref, size, dtype), layout, dtype };
    });
    return { result: region.result(tensors.map(tensorOf)) };
  }

  private assignAgain(target: Tensor, { ref, layout, dtype }: Piece): void {
    const storage =
      ref < 0
        ? this.external[-1 - ref].retain()
        : (this.made[ref]?.retain() ?? this.madeAnew(ref, sizeOf(layout.shape), dtype));
    if (storage === target.storage) {
      storage.release();
      return;
    }
    if (!this.displace(target)) target.storage.release();
    target.slot.storage = storage;
    target.layout = layout;
  }

  private displace(target: Tensor): boolean {
    if (!this.isExternal(target.storage) || this.displaced.has(target)) return false;
    this.displaced.set(target, { storage: target.storage, layout: target.layout });
    return true;
  }

  // -- noting what is new ----------------------------------------------------------------------------------------------

  private append(run: Run): void {
    if (run.inputs.some(({ ref }) => this.stale.has(ref))) this.flushLate();
    this.runs.push(run);
  }

  private flushLate(): void {
    this.runs.push(...this.late);
    this.late = [];
    this.stale.clear();
  }

  private push(call: DistributiveOmit<Exclude<Call, RegionCall>, keyof Progress>): void {
    this.calls.push({ ...call, ...this.progress() } as Call);
    this.at++;
  }

  private progress(): Progress {
    if (!this.following) return { runs: this.runs.length, late: this.late, made: this.made.length };
    return progressAfter(this.following.calls, this.at);
  }

  private within<Result>(f: () => Result): Result {
    this.isWithin = true;
    try {
      return f();
    } finally {
      this.isWithin = false;
    }
  }

  /** A part of a larger storage that was there before, in storage of its own. */
  private wholeOf(input: Elements): Elements {
    const { storage, layout, dtype } = input;
    if (!this.isExternal(storage) || !isContiguous(layout) || sizeOf(layout.shape) === storage.size) return input;
    const parts = this.loaded.get(storage) ?? [];
    this.loaded.set(storage, parts);
    const known = parts.find(({ from }) => sameLayout(from, layout));
    if (known) return known.elements;
    const piece = this.pieceOf(input);
    const call = this.expected(
      (next) =>
        next.kind === "load" &&
        next.input.ref === piece.ref &&
        next.input.dtype === dtype &&
        sameShape(next.input.layout.shape, layout.shape) &&
        sameStrides(next.input.layout, layout),
    );
    let elements: Elements;
    if (call?.kind === "load") {
      const [operand] = call.run.inputs;
      if (operand.offset !== layout.offset)
        this.changes.set(call.run, { ...call.run, inputs: [{ ...operand, offset: layout.offset }] });
      elements = this.take(call.output, []);
    } else {
      elements = this.blank({ shape: layout.shape, dtype }, "capture");
      const run: Run = {
        op: ops.copy as unknown as Op<unknown>,
        attrs: undefined,
        inputs: [this.operandOf(input, 0)],
        outputs: [this.operandOf(elements, 0)],
      };
      this.append(run);
      this.push({ kind: "load", input: piece, output: this.producedOf(elements, []), run });
    }
    parts.push({ from: layout, elements });
    return elements;
  }

  private isExternal(storage: Storage): boolean {
    return !(storage.pending === this && storage.id >= 0);
  }

  private refOf(storage: Storage): Ref {
    if (!this.isExternal(storage)) return storage.id;
    let ref = this.numbers.get(storage);
    if (ref === undefined) {
      ref = -1 - this.external.length;
      this.numbers.set(storage, ref);
      this.external.push(storage);
    }
    return ref;
  }

  /** Remembers through which tensor a storage is found, so that a region can find it again. */
  private note(elements: Elements): void {
    if (this.regions > 0 && isTensor(elements) && !this.found.has(elements.storage))
      this.found.set(elements.storage, elements);
  }

  private pieceOf(elements: Elements): Piece {
    this.note(elements);
    return { ref: this.refOf(elements.storage), layout: elements.layout, dtype: elements.dtype };
  }

  private producedOf(output: Elements, inputs: readonly Elements[]): Produced {
    const input = inputs.findIndex(({ storage }) => storage === output.storage);
    const { ref, layout, dtype } = this.pieceOf(output);
    return { ref, layout, dtype, size: output.storage.size, input };
  }

  private operandOf(elements: Elements, base: number): RunOperand {
    const { shape, strides, offset } = elements.layout;
    return { ref: this.refOf(elements.storage), shape, strides, offset: offset - base, dtype: elements.dtype, base };
  }
}

function runOf(call: Call): Run | null {
  return "run" in call ? call.run : null;
}

/** What had been noted before a call. */
function progressAfter(calls: readonly Call[], at: number): Progress {
  const last = calls[at - 1];
  if (!last) return START;
  if (last.kind !== "region") return last;
  return last.end?.call === at ? last.end.progress : last;
}

/** Whether two traces ask for the same up to a call. */
function beginsAs(a: Trace, b: Trace, length: number): boolean {
  for (let k = 0; k < length; k++) if (!sameCall(a.calls[k], b.calls[k])) return false;
  return true;
}

/** Whether a region does what it did in an earlier step, but for its attributes. */
function followsFrom(call: RegionCall, { same = [], settings }: Region, inputs: readonly Piece[]): boolean {
  return (
    call.same.length === same.length &&
    call.same.every((value, k) => Object.is(value, same[k])) &&
    call.inputs.length === inputs.length &&
    call.inputs.every((input, k) => samePiece(input, inputs[k])) &&
    sameData(call.settings, settings)
  );
}

/** A region that is under way. */
function openRegion(key: unknown, before: Progress): RegionCall {
  const nothing = {
    same: [],
    inputs: [],
    settings: undefined,
    externals: null,
    layouts: [],
    overwritten: [],
    live: [],
    pieces: [],
  };
  return { kind: "region", key, ...nothing, result: () => undefined, end: null, ...before };
}

/** A value with other tensors in the places of its own, which are added to `found`. */
function templateOf(value: unknown, found: Tensor[]): (tensors: readonly Tensor[]) => unknown {
  if (isTensor(value)) {
    const place = found.indexOf(value); // one tensor in two places of the result is one in all results
    const k = place === -1 ? found.push(value) - 1 : place;
    return (tensors) => tensors[k];
  }
  if (Array.isArray(value)) {
    const parts = value.map((part) => templateOf(part, found));
    return (tensors) => parts.map((part) => part(tensors));
  }
  if (typeof value === "object" && value !== null) {
    const parts = Object.entries(value).map(([name, part]) => [name, templateOf(part, found)] as const);
    return (tensors) => Object.fromEntries(parts.map(([name, part]) => [name, part(tensors)]));
  }
  return () => value;
}

// -- which step is under way -------------------------------------------------------------------------------------------

/** A captured step, from its begin to its end. Its tracer is made at its first op on a backend that can record. */
export interface Step {
  readonly traces: readonly Trace[];
  tracer: Tracer | null;
}

let current: Step | null = null;

/** Begins a step. */
export function begin(step: Step): void {
  current = step;
}

/** Ends it, if it is under way. */
export function leave(tracer: Tracer | null): void {
  if (current?.tracer === tracer) current = null;
}

/** Whether a captured step is under way. */
export function isTracing(): boolean {
  return current !== null;
}

/** Runs `f` as no part of the step that is under way: its work is done at once. */
export function outsideOfStep<Result>(f: () => Result): Result {
  const step = current;
  current = null;
  try {
    return f();
  } finally {
    current = step;
  }
}

/** What notes the work of a backend; null where it is done at once. */
export function tracerOn(backend: Backend): Tracer | null {
  if (!current) return null;
  if (!current.tracer && backend.record) current.tracer = new Tracer(backend, current.traces);
  return current.tracer?.backend === backend ? current.tracer : null;
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;
