// Regions of a captured step: parts that say all that they depend on, and do not run if that is unchanged.

import { isTensor } from "../argument.ts";
import type { Elements } from "../compute.ts";
import type { Tensor } from "../tensor.ts";
import type { Displaced } from "./displaced.ts";
import type { Following } from "./following.ts";
import type { Notes } from "./notes.ts";
import { type Snapshots, snapshotOf } from "./snapshots.ts";
import { type StepStorages, Uses } from "./storages.ts";
import { type Entered, type Piece, type Progress, type RegionCall, sameData, sameLayout, type Use } from "./trace.ts";

/** A part of a step, and all that it depends on. */
export interface Region {
  /** The identity of the work. */
  readonly key: unknown;
  /** Values that it depends on, compared by identity: the tensors and numbers that it closes over. */
  readonly same?: readonly unknown[];
  /** The tensors that it gets. */
  readonly inputs: readonly Tensor[];
  /** The plain data that it depends on. */
  readonly settings?: unknown;
  /** The attributes of its ops that may change from step to step. */
  readonly attrs?: readonly object[];
}

/** A region that has begun, and runs. */
export interface OpenRegion {
  readonly what: Region;
  readonly inputs: readonly Piece[];
  /** The index of its call. */
  readonly at: number;
  /** The tensors that it has used so far. */
  readonly uses: Uses;
  /** The number of external storages used before it began. */
  readonly externals: number;
}

/** A region that need not run. */
interface SkippedRegion {
  readonly result: unknown;
}

export class Regions {
  private readonly storages: StepStorages;
  private readonly notes: Notes;
  private readonly following: Following;
  private readonly displaced: Displaced;
  private readonly snapshots: Snapshots;

  constructor(storages: StepStorages, notes: Notes, following: Following, displaced: Displaced, snapshots: Snapshots) {
    this.storages = storages;
    this.notes = notes;
    this.following = following;
    this.displaced = displaced;
    this.snapshots = snapshots;
  }

  /** @param tensorOf makes a tensor of elements */
  begin(what: Region, tensorOf: (elements: Elements) => Tensor): OpenRegion | SkippedRegion {
    const { storages, notes, following } = this;
    const call = following.expected((next) => next.kind === "region" && next.key === what.key);
    const isSame = call?.kind === "region" && this.followsFrom(call, what);
    const skipped = isSame ? this.skip(call, what.attrs ?? [], tensorOf) : null;
    if (skipped) return skipped;
    if (what.attrs) this.snapshots.addLive(what.attrs);
    const inputs = what.inputs.map((input) => storages.pieceOf(input));
    const at = following.trace ? following.at : notes.calls.length;
    if (call) following.at++;
    else notes.calls.push(callOf(what.key, notes.progress()));
    return { what, inputs, at, uses: new Uses(), externals: storages.external.length };
  }

  /** Notes what a region that ran depended on, and its result. */
  end(open: OpenRegion, result: unknown): void {
    const { notes, following } = this;
    const { what, inputs, at } = open;
    const found: Tensor[] = [];
    const template = templateOf(result, found);
    const pieces = found.map((tensor) => this.storages.producedOf(tensor, []));
    const { same = [], settings } = what;
    const entered = { same, inputs, settings: snapshotOf(settings), uses: this.usesOf(open), pieces, result: template };
    const call = following.trace?.calls[at];
    if (call?.kind === "region" && call.end?.call !== following.at)
      following.diverge("a part ends elsewhere than before");
    if (following.trace) following.entered.set(at, entered);
    else notes.calls[at] = this.closed(what, notes.calls[at], entered);
  }

  private closed({ key, attrs = [] }: Region, { runs, late, made }: Progress, entered: Entered): RegionCall {
    const { notes } = this;
    const own = [...notes.runs.slice(runs), ...notes.late];
    return {
      kind: "region",
      key,
      ...entered,
      overwritten: [...new Set(own.flatMap(({ outputs }) => outputs.map(({ ref }) => ref)))].filter((ref) => ref < 0),
      live: own.flatMap((run) => {
        const k = attrs.indexOf(run.attrs as object);
        return k < 0 ? [] : [{ run, attrs: k }];
      }),
      end: { call: notes.calls.length, progress: notes.progress() },
      runs,
      late,
      made,
    };
  }

  /** The tensors that it used; null if not all that it used can be found again. */
  private usesOf({ uses: { all, isPartial }, externals }: OpenRegion): readonly Use[] | null {
    const found = new Set([...all.values()].map(({ ref }) => ref));
    const isWhole = this.storages.external.every((_, k) => k < externals || found.has(-1 - k));
    return isWhole && !isPartial ? [...all.values()] : null;
  }

  /** The effects and the result of the earlier step's region, without running it. @returns null if it has to run */
  private skip(
    region: RegionCall,
    attrs: readonly object[],
    tensorOf: (elements: Elements) => Tensor,
  ): SkippedRegion | null {
    const { storages, following } = this;
    const { end, overwritten, live, pieces, uses } = region;
    if (!end || !following.trace || !uses) return null;
    const { external } = storages;
    const before = external.length;
    if (!this.useAgain(uses) || overwritten.some((ref) => external[-1 - ref]?.isShared ?? true)) {
      storages.forget(before);
      return null;
    }
    for (const { tensor } of uses) storages.note(tensor); // the regions around it use them too
    for (const ref of overwritten) storages.overwrite(external[-1 - ref]);
    for (const { run, attrs: k } of live) {
      const { op, inputs, outputs } = run;
      following.changes.set(run, { op, attrs: attrs[k], inputs, outputs });
    }
    const { calls } = following.trace;
    for (let k = following.at; k < end.call; k++) {
      const call = calls[k];
      if (call.kind === "assign") this.displaced.assignAgain(call.target, call.source);
    }
    following.at = end.call;
    const tensors = pieces.map(
      ({ ref, layout, dtype, size }): Elements => ({ storage: storages.retained(ref, size, dtype), layout, dtype }),
    );
    return { result: region.result(tensors.map(tensorOf)) };
  }

  /**
   * Numbers the external storages of tensors that a region of an earlier step used.
   * @returns whether all have the numbers, and the tensors the layouts, that they had in that step
   */
  private useAgain(uses: readonly Use[]): boolean {
    const { storages } = this;
    for (const { tensor, ref, layout } of uses) {
      const { storage } = tensor.slot;
      if (!storage || !sameLayout(tensor.layout, layout)) return false;
      if (!storages.isKnown(storage) && (storages.isWritten(storage) || ref !== -1 - storages.external.length))
        return false;
      if (storages.refOf(storage) !== ref) return false;
    }
    return true;
  }

  /** Whether a region depends on the same as in an earlier step, but for its attributes. */
  private followsFrom(call: RegionCall, { same = [], inputs, settings }: Region): boolean {
    const { storages } = this;
    if (call.inputs.length !== inputs.length || !sameItems(call.same, same)) return false;
    for (let k = 0; k < inputs.length; k++) {
      const { ref, layout, dtype } = call.inputs[k];
      const input = inputs[k];
      storages.note(input);
      if (storages.refOf(input.storage) !== ref || input.dtype !== dtype || !sameLayout(input.layout, layout))
        return false;
    }
    return sameData(call.settings, settings);
  }
}

function sameItems(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a === b || (a.length === b.length && a.every((value, k) => Object.is(value, b[k])));
}

/** The call of a region that is under way. */
function callOf(key: unknown, before: Progress): RegionCall {
  const nothing = {
    same: [],
    inputs: [],
    settings: undefined,
    uses: null,
    overwritten: [],
    live: [],
    pieces: [],
  };
  return { kind: "region", key, ...nothing, result: () => undefined, end: null, ...before };
}

/** A function that rebuilds a value with other tensors. Those of the value are added to `found`. */
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
