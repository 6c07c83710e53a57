// The earlier trace that a captured step follows: each call of the step is compared with the next call of that trace.

import type { Elements } from "../compute.ts";
import { isFree } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import { formatShape, type Layout, sameShape } from "../shape.ts";
import type { Notes } from "./notes.ts";
import type { Snapshots } from "./snapshots.ts";
import type { StepStorages } from "./storages.ts";
import {
  type Call,
  type Entered,
  nameOf,
  type OpCall,
  type Progress,
  progressAfter,
  type RegionCall,
  type Run,
  sameCall,
  sameData,
  sameLayout,
  type Trace,
} from "./trace.ts";

export class Following {
  /** The trace whose calls so far are the same; null once there is none. */
  trace: Trace | null;
  /** The index of its next call. */
  at = 0;
  /** Why no trace is followed, in words; "" while one is. */
  reason = "";
  /** The runs of the trace whose numbers changed, and those of this step instead. */
  readonly changes = new Map<Run, Run>();
  /** What the regions that ran in this step depend on, by the index of their call. */
  readonly entered = new Map<number, Entered>();
  private readonly traces: readonly Trace[];
  private readonly storages: StepStorages;
  private readonly notes: Notes;
  private readonly snapshots: Snapshots;

  /** @param traces in the order in which to try them */
  constructor(traces: readonly Trace[], storages: StepStorages, notes: Notes, snapshots: Snapshots) {
    this.traces = traces;
    this.storages = storages;
    this.notes = notes;
    this.snapshots = snapshots;
    this.trace = traces[0] ?? null;
    if (!this.trace) this.reason = "it is the first step";
  }

  /** The next call of a trace whose calls so far are the same, if `isIt` says yes to it. */
  expected(isIt: (call: Call) => boolean, why: (call: Call | undefined) => string = wasOther): Call | null {
    if (!this.trace) return null;
    const call = this.trace.calls[this.at];
    if (call && isIt(call)) {
      if (call.kind !== "region") this.at++;
      return call;
    }
    this.seek(({ calls }) => calls.length > this.at && isIt(calls[this.at]), `op ${this.at} ${why(call)}`);
    const next = this.trace?.calls[this.at] ?? null;
    if (next && next.kind !== "region") this.at++;
    return next;
  }

  /** The next call, if it is this op on these inputs. Numbers that differ count as changed. */
  expectedOp(op: Op<unknown>, inputs: readonly Elements[], attrs: unknown): OpCall | null {
    const call = this.expected(
      (next) => this.isOp(next, op, inputs, attrs),
      (next) => this.difference(next, op, inputs, attrs),
    );
    if (call?.kind !== "op") return null;
    const { run } = call;
    const { snapshots } = this;
    if (run && op.perStep && (snapshots.isLive(attrs) || !sameData(run.attrs, attrs)))
      this.changes.set(run, { ...run, attrs: snapshots.of(attrs) });
    return call;
  }

  /** Follows a trace that ends here with the same outputs, if there is one. */
  expectEnd(outputs: readonly number[]): void {
    if (!this.trace) return;
    const isEnd = ({ calls, outputs: others }: Trace) => calls.length === this.at && sameShape(others, outputs);
    if (!isEnd(this.trace)) this.seek(isEnd, `it ends after ${this.at} calls, or keeps other tensors`);
  }

  /** Follows no trace any more: the next calls are new ones. */
  diverge(reason: string): void {
    if (!this.trace) return;
    this.notes.restart(this.trace, this.at, this.changes, this.entered);
    this.reason = reason;
    this.trace = null;
    this.changes.clear();
  }

  /** The progress of the step. */
  progress(): Progress {
    return this.trace ? progressAfter(this.trace.calls, this.at) : this.notes.progress();
  }

  private isOp(call: Call, op: Op<unknown>, inputs: readonly Elements[], attrs: unknown): boolean {
    if (call.kind !== "op" || call.op !== op || call.inputs.length !== inputs.length) return false;
    const { storages } = this;
    for (let k = 0; k < inputs.length; k++) {
      const { storage, layout, dtype } = inputs[k];
      const piece = call.inputs[k];
      storages.note(inputs[k]);
      if (storages.refOf(storage) !== piece.ref || dtype !== piece.dtype || !sameLayout(layout, piece.layout))
        return false;
    }
    if (op.inPlace?.some((taken, k) => call.outputs[k].input >= 0 !== isFree(inputs[taken]))) return false;
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

  /** How an op differs from a call, in words. */
  private difference(call: Call | undefined, op: Op<unknown>, inputs: readonly Elements[], attrs: unknown): string {
    if (call?.kind !== "op" || call.op !== op) return `is ${op.name}, and was ${nameOf(call)} before`;
    const shapes = (all: readonly { readonly layout: Layout }[]) =>
      all.map(({ layout }) => formatShape(layout.shape)).join(", ");
    const [now, before] = [shapes(inputs), shapes(call.inputs)];
    if (now !== before) return `is ${op.name} of ${now}, and was of ${before} before`;
    const isSame = inputs.every(({ storage }, k) => this.storages.refOf(storage) === call.inputs[k].ref);
    if (!isSame) return `is ${op.name} of ${now}, and took other tensors before`;
    return `is ${op.name} of ${now}, and had other ${sameData(call.attrs, attrs) ? "layouts" : "attributes"} before`;
  }

  /** Follows another trace whose calls so far are the same, or none if there is none. */
  private seek(isIt: (trace: Trace) => boolean, reason: string): void {
    const { trace, at } = this;
    if (!trace) return;
    const other = this.traces.find((one) => one !== trace && isIt(one) && beginsAs(one, trace, at));
    if (other) this.switchTo(trace, other);
    else this.diverge(reason);
  }

  private switchTo(trace: Trace, other: Trace): void {
    // Numbers that may change from step to step have so far this step's values, whatever they were in the other's.
    const changed = new Map(this.changes);
    this.changes.clear();
    for (let k = 0; k < this.at; k++) {
      const call = trace.calls[k];
      if (call.kind === "region" && !this.entered.has(k)) this.entered.set(k, enteredOf(call)); // it was skipped
      const [run, theirs] = [runOf(call), runOf(other.calls[k])];
      if (!run || !theirs) continue;
      const { attrs, data, inputs } = changed.get(run) ?? run;
      const isMoved = call.kind === "load" && inputs[0].offset !== theirs.inputs[0].offset;
      if (attrs === theirs.attrs && data === theirs.data && !isMoved) continue;
      this.changes.set(theirs, { ...theirs, attrs, data, inputs: isMoved ? inputs : theirs.inputs });
    }
    this.trace = other;
  }
}

function wasOther(call: Call | undefined): string {
  return `was ${nameOf(call)} before`;
}

function enteredOf({ same, inputs, settings, uses, pieces, result }: RegionCall): Entered {
  return { same, inputs, settings, uses, pieces, result };
}

function runOf(call: Call): Run | null {
  return "run" in call ? call.run : null;
}

/** Whether the first `length` calls of two traces are the same. */
function beginsAs(a: Trace, b: Trace, length: number): boolean {
  for (let k = 0; k < length; k++) if (!sameCall(a.calls[k], b.calls[k])) return false;
  return true;
}
