// What a function uses that it did not make: the tensors that it reads, and the random streams that it draws from; and what it does.

import type { Origin } from "../autograd/graph.ts";
import { snapshotOf } from "../capture/snapshots.ts";
import type { RandomState } from "../random/random.ts";
import type { Tensor } from "../tensor.ts";
import { births } from "./memory.ts";

/** A random stream, as far as its state is concerned. */
interface Stream {
  state(): RandomState;
  restore(state: RandomState): void;
}

/** One thing that a function did: an op, or another way to give a tensor its elements. */
export interface Deed {
  /** The op; or the name of what is none. */
  readonly what: unknown;
  /** Its plain data. */
  readonly attrs: unknown;
  readonly inputs: readonly Origin[];
  readonly outputs: readonly Origin[];
}

/** What a function used, and did. */
export interface Reads {
  /** Each tensor, and an alias of what it was: the caller releases it. */
  readonly tensors: ReadonlyMap<Tensor, Tensor>;
  /** Each stream, and its state before the first draw. */
  readonly streams: ReadonlyMap<Stream, RandomState>;
  /** What it did, in order. All that a further run does follows from this and the tensors. */
  readonly deeds: readonly Deed[];
}

interface Watch {
  /** How many tensors had been made before it. */
  readonly before: number;
  readonly tensors: Map<Tensor, Tensor>;
  readonly streams: Map<Stream, RandomState>;
  readonly deeds: Deed[];
}

const watches: Watch[] = [];

/**
 * Runs `f` and notes what it uses.
 * @param reads is filled, also when `f` throws
 */
export function watching<Result>(f: (reads: Reads) => Result): Result {
  const watch: Watch = { before: births(), tensors: new Map(), streams: new Map(), deeds: [] };
  watches.push(watch);
  try {
    return f(watch);
  } finally {
    watches.splice(watches.indexOf(watch), 1);
  }
}

/** Notes that a tensor is read. */
export function noteRead(tensor: Tensor): void {
  for (const { before, tensors } of watches) {
    if (tensor.birth < before && !tensors.has(tensor)) tensors.set(tensor, tensor.alias(false));
  }
}

/** Notes what is done. */
export function noteDeed(what: unknown, attrs: unknown, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  if (watches.length === 0) return;
  const originOf = ({ origin }: Tensor) => origin;
  const deed = { what, attrs: snapshotOf(attrs), inputs: inputs.map(originOf), outputs: outputs.map(originOf) };
  for (const { deeds } of watches) deeds.push(deed);
}

/** Notes that a stream is about to change its state. */
export function noteDraw(stream: Stream): void {
  for (const { streams } of watches) if (!streams.has(stream)) streams.set(stream, stream.state());
}

/** Refuses a change of a tensor by a function that did not make it, and will run again. @param name what changes it */
export function refuseChange(name: string, tensor: Tensor): void {
  if (watches.every(({ before }) => tensor.birth >= before)) return;
  throw new Error(`${name}: changes ${tensor} inside a checkpointed function, which runs again, want it outside`);
}

/** Runs `f` while tensors and streams are what they were when they were used; they are afterwards what they are now. */
export function asRead<Result>({ tensors, streams }: Reads, f: () => Result): Result {
  const now = [...tensors.keys()].map(({ slot, layout }) => ({ storage: slot.storage, layout }));
  const states = [...streams.keys()].map((stream) => stream.state());
  for (const [tensor, then] of tensors) {
    tensor.slot.storage = then.slot.storage;
    tensor.layout = then.layout;
  }
  for (const [stream, state] of streams) stream.restore(state);
  try {
    return f();
  } finally {
    for (const [k, tensor] of [...tensors.keys()].entries()) {
      tensor.slot.storage = now[k].storage;
      tensor.layout = now[k].layout;
    }
    for (const [k, stream] of [...streams.keys()].entries()) stream.restore(states[k]);
  }
}
