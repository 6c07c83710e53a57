// A captured step as data: its calls, which later steps are compared with, and its runs, which the backend got for them.

import type { Recording } from "../backend.ts";
import type { Op } from "../op.ts";
import { type DType, type Layout, type Shape, sameShape } from "../shape.ts";
import type { Tensor } from "../tensor.ts";

/** The number of a storage: 0, 1, … were made in the step; −1, −2, … are from before it (external), in the order of first use. */
export type Ref = number;

/** Elements of a storage. */
export interface Piece {
  readonly ref: Ref;
  readonly layout: Layout;
  readonly dtype: DType;
}

/** The elements that a call returned. */
export interface Produced extends Piece {
  /** The size of the storage in elements. */
  readonly size: number;
  /** The index of the input whose storage it shares; −1 for none. */
  readonly input: number;
}

/** A tensor from before a step, and its storage and layout when the step used it first. */
export interface Use {
  readonly tensor: Tensor;
  readonly ref: Ref;
  readonly layout: Layout;
}

/** An operand of a run: elements of a storage, from its element `base` on. */
export interface RunOperand extends Layout {
  readonly ref: Ref;
  readonly dtype: DType;
  readonly base: number;
}

/** One op on the backend; null stands for an upload of `data`. */
export interface Run {
  readonly op: Op<unknown> | null;
  readonly attrs: unknown;
  readonly inputs: readonly RunOperand[];
  readonly outputs: readonly RunOperand[];
  readonly data?: ArrayLike<number>;
}

/** How much of a step is noted after a call. */
export interface Progress {
  /** The number of runs. */
  readonly runs: number;
  /** The runs that overwrite tensors: they come last. */
  readonly late: readonly Run[];
  /** The number of storages made. */
  readonly made: number;
}

const START: Progress = { runs: 0, late: [], made: 0 };

/** An op on tensors. */
export interface OpCall extends Progress {
  readonly kind: "op";
  readonly op: Op<unknown>;
  readonly attrs: unknown;
  readonly inputs: readonly Piece[];
  readonly outputs: readonly Produced[];
  /** The run of the op itself; null for views. */
  readonly run: Run | null;
}

/** The upload of a tensor's numbers from the host. */
export interface UploadCall extends Progress {
  readonly kind: "upload";
  readonly output: Produced;
  readonly run: Run;
}

/** A copy of a part of a larger external storage: the next step may take another part. */
export interface LoadCall extends Progress {
  readonly kind: "load";
  readonly input: Piece;
  readonly output: Produced;
  readonly run: Run;
}

/** `assign` to a tensor from before the step. */
export interface AssignCall extends Progress {
  readonly kind: "assign";
  readonly target: Tensor;
  readonly source: Piece;
}

/** At the end of the step: the elements that a tensor was assigned are copied into the storage that it had. */
export interface PutBackCall extends Progress {
  readonly kind: "putBack";
  readonly target: Ref;
  readonly source: Piece;
}

/** A region: if all that it depends on is unchanged, its calls need not be made again. */
export interface RegionCall extends Progress {
  readonly kind: "region";
  readonly key: unknown;
  readonly same: readonly unknown[];
  readonly inputs: readonly Piece[];
  readonly settings: unknown;
  /** The tensors from before the step that it uses; null if not all of them can be found again. */
  readonly uses: readonly Use[] | null;
  /** The external storages that it overwrites. */
  readonly overwritten: readonly Ref[];
  /** The runs with attributes that the region was given, and the index of these. */
  readonly live: readonly { readonly run: Run; readonly attrs: number }[];
  readonly pieces: readonly Produced[];
  /** The result, with tensors for the pieces. */
  readonly result: (tensors: readonly Tensor[]) => unknown;
  /** The index of the call after its last one, and the progress there; null until it has ended. */
  readonly end: { readonly call: number; readonly progress: Progress } | null;
}

/** What a region depends on, and what it gave. */
export type Entered = Pick<RegionCall, "same" | "inputs" | "settings" | "uses" | "pieces" | "result">;

export type Call = OpCall | UploadCall | LoadCall | AssignCall | PutBackCall | RegionCall;

/** A step that ran, and its recording, which replays it. */
export interface Trace {
  readonly calls: readonly Call[];
  readonly runs: readonly Run[];
  /** The index of each run. */
  readonly numbers: ReadonlyMap<Run, number>;
  /** The storages made in it that outlive it. */
  readonly outputs: readonly Ref[];
  readonly recording: Recording;
}

/** The progress before a call. */
export function progressAfter(calls: readonly Call[], at: number): Progress {
  const last = calls[at - 1];
  if (!last) return START;
  if (last.kind !== "region") return last;
  return last.end?.call === at ? last.end.progress : last;
}

export function sameLayout(a: Layout, b: Layout): boolean {
  return a === b || (a.offset === b.offset && sameShape(a.shape, b.shape) && sameStrides(a, b));
}

/** Layouts that differ in their offsets at most. */
export function sameStrides(a: { readonly strides: Shape }, b: { readonly strides: Shape }): boolean {
  return sameShape(a.strides, b.strides);
}

/** Whether plain data are the same. */
export function sameData(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || ArrayBuffer.isView(a)) return sameElements(a as ArrayLike<unknown>, b as ArrayLike<unknown>);
  let names = 0;
  for (const name in a) {
    if (!(name in b)) return false;
    const one = (a as Readonly<Record<string, unknown>>)[name];
    const other = (b as Readonly<Record<string, unknown>>)[name];
    if (!Object.is(one, other) && !sameData(one, other)) return false;
    names++;
  }
  for (const _ in b) names--;
  return names === 0;
}

function sameElements(a: ArrayLike<unknown>, b: ArrayLike<unknown>): boolean {
  const { length } = a;
  if (length !== b.length) return false;
  for (let i = 0; i < length; i++) {
    const one = a[i];
    const other = b[i];
    if (!Object.is(one, other) && !sameData(one, other)) return false;
  }
  return true;
}

/** Whether two calls are the same, but for what may change from step to step, and leave the same progress. */
export function sameCall(a: Call, b: Call): boolean {
  if (a === b) return true;
  if (a.made !== b.made || a.runs !== b.runs || a.late.length !== b.late.length) return false;
  if (a.kind === "op" && b.kind === "op") {
    const sameAttrs = a.op.perStep !== undefined || sameData(a.attrs, b.attrs);
    return a.op === b.op && samePieces(a.inputs, b.inputs) && samePieces(a.outputs, b.outputs) && sameAttrs;
  }
  if (a.kind === "upload" && b.kind === "upload") return samePieces([a.output], [b.output]);
  if (a.kind === "load" && b.kind === "load") return a.input.ref === b.input.ref && samePieces([a.output], [b.output]);
  if (a.kind === "assign" && b.kind === "assign") return a.target === b.target && samePieces([a.source], [b.source]);
  if (a.kind === "putBack" && b.kind === "putBack") return a.target === b.target && samePieces([a.source], [b.source]);
  if (a.kind === "region" && b.kind === "region") {
    const sameLive = a.live.length === b.live.length && a.live.every(({ attrs }, k) => attrs === b.live[k].attrs);
    return a.key === b.key && a.end?.call === b.end?.call && sameLive && samePieces(a.inputs, b.inputs);
  }
  return false;
}

function samePieces(a: readonly Piece[], b: readonly Piece[]): boolean {
  return a.length === b.length && a.every((piece, k) => samePiece(piece, b[k]));
}

export function samePiece(a: Piece, b: Piece): boolean {
  return a.ref === b.ref && a.dtype === b.dtype && sameLayout(a.layout, b.layout);
}

/** A call in words. */
export function nameOf(call: Call | undefined): string {
  if (!call) return "the end";
  if (call.kind !== "op")
    return { upload: "tensor", load: "a part of a tensor", assign: "assign", putBack: "assign", region: "a part" }[
      call.kind
    ];
  return call.op.name;
}
