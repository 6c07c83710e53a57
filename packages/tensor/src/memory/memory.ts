// Ownership of tensors: reference-counted storage, tidy scopes, and the garbage collector as a safety net.

import { expectFunction, expectTensor, isTensor } from "../argument.ts";
import type { Backend, Buffer } from "../backend.ts";
import { type DType, isContiguous, type Layout } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { atomically, runOverwrites } from "./atomic.ts";
import { leave, onCollected, reclaim } from "./unscoped.ts";

/** Work that waits until a captured step has ended. */
export interface Pending {
  /** Does the work now. */
  settle(): void;
  /** What `read` gives once the work is done. @param drop called in place of `read` if the step fails */
  after<Result>(read: () => Promise<Result>, drop: () => void): Promise<Result>;
}

/** A buffer that tensors share. It is freed with the last of them. */
export class Storage {
  readonly backend: Backend;
  readonly dtype: DType;
  /** In elements. */
  readonly size: number;
  /** Whether an overwrite of its elements is postponed. */
  isStale = false;
  /** The captured step that still has to write its elements. */
  pending: Pending | null = null;
  /** The captured step that knows it by `ref`. */
  knownTo: Pending | null = null;
  /** Its number in that step: from 0 on for what was made in it, below 0 for what was there before. */
  ref = 0;
  private isClaimed = false;
  private memory: Buffer | null;
  private owners = 1;
  private pins = 0;

  /** @param pending a captured step that will hand it its memory. Without one it is allocated now. */
  constructor(backend: Backend, size: number, dtype: DType, label: string, pending: Pending | null = null) {
    this.backend = backend;
    this.size = size;
    this.memory = pending ? null : backend.allocate(size, dtype, label);
    this.dtype = dtype;
    this.pending = pending;
  }

  /** The buffer, after postponed overwrites have run. */
  get buffer(): Buffer {
    if (this.isStale) runOverwrites();
    this.pending?.settle();
    if (!this.memory)
      throw new Error("tensor: the captured step that makes it has failed, want one of a step that has not");
    return this.memory;
  }

  /** Where the elements are, whatever waits to be written there. Null before a captured step has ended. */
  get place(): Buffer | null {
    return this.memory;
  }

  /** Takes over memory that a captured step has written. */
  receive(memory: Buffer): void {
    this.memory = memory;
    this.freeUnheld();
  }

  /** Whether more than one tensor holds it. */
  get isShared(): boolean {
    return this.owners > 1;
  }

  /** Whether any tensor holds it. */
  get isHeld(): boolean {
    return this.owners > 0;
  }

  /** Counts one more owner. */
  retain(): this {
    this.owners++;
    return this;
  }

  /** Counts one owner fewer. */
  release(): void {
    this.owners--;
    this.freeUnheld();
  }

  /** Its bytes for the first tensor that asks, 0 for the others: they are counted once. */
  claim(): number {
    const bytes = this.isClaimed ? 0 : 4 * this.size;
    this.isClaimed = true;
    return bytes;
  }

  /** Keeps the buffer without counting as an owner. */
  pin(): void {
    this.pins++;
  }

  /** Ends one `pin`. */
  unpin(): void {
    this.pins--;
    this.freeUnheld();
  }

  private freeUnheld(): void {
    if (this.owners + this.pins > 0 || !this.memory) return;
    this.backend.free(this.memory);
    this.memory = null;
  }
}

/** Whether an op that overwrites elements may overwrite these, and no others with them. */
export function isFree({ storage, layout }: { readonly storage: Storage; readonly layout: Layout }): boolean {
  return !storage.isShared && isContiguous(layout) && layout.offset === 0;
}

/**
 * Where a tensor finds its storage; null once the tensor is disposed. The garbage collector's callback shares it, to see
 * reassignments.
 */
export interface Slot {
  storage: Storage | null;
}

/** The tensors made in a `tidy`, and what else to do when it ends. */
interface Scope {
  readonly tensors: Set<Tensor>;
  readonly cleanups: (() => void)[];
}

const scopes: Scope[] = [];
let live = 0;
let born = 0;

// An unscoped tensor frees its storage when it is collected.
onCollected((slot) => {
  live--;
  slot.storage?.release();
  slot.storage = null;
});

/** Numbers tensors in the order in which they are made. */
export function nextBirth(): number {
  return born++;
}

/** How many have been made. */
export function births(): number {
  return born;
}

/** Gives a new tensor to the innermost scope, or to the garbage collector if there is none. */
export function adopt(tensor: Tensor): void {
  live++;
  own(tensor);
}

/** Forgets a disposed tensor. */
export function disown(tensor: Tensor): void {
  live--;
  for (let k = scopes.length - 1; k >= 0; k--) if (scopes[k].tensors.delete(tensor)) return;
  reclaim(tensor);
}

/** Calls what was registered for an object after the object was collected. */
const cleanups = new FinalizationRegistry<() => void>((cleanup) => cleanup());

/**
 * Calls `cleanup` when the innermost scope ends. Without a scope, calls it when `owner` is collected; `cleanup` must not hold
 * `owner`.
 */
export function onScopeEnd(owner: object, cleanup: () => void): void {
  const scope = scopes.at(-1);
  if (scope) scope.cleanups.push(cleanup);
  else cleanups.register(owner, cleanup);
}

/** The number of tensors that are not disposed, on all backends. */
export function liveTensors(): number {
  return live;
}

/**
 * Runs `f`, then disposes every tensor made in it but for those in its result (also in arrays and plain objects) and those
 * kept. It changes speed and peak memory, never results: without a scope the garbage collector frees tensors that are
 * unreachable.
 * - Node and Deno collect when unscoped tensors hold twice what the last collection left (at least 64 MiB), and before an
 *   allocation fails.
 * - Browsers count the bytes, and free between turns of the event loop; awaiting a result gives it a turn.
 * @throws Error when `f` is async: a scope ends when `f` returns
 */
export function tidy<Result>(f: () => Result): Result {
  expectFunction("tidy", "f", f);
  const scope: Scope = { tensors: new Set(), cleanups: [] };
  const depth = scopes.push(scope);
  let result: Result | undefined;
  try {
    result = f();
    if (result instanceof Promise) throw new Error("tidy: the function is async, want one that returns its tensors");
    return result;
  } finally {
    scopes.length = depth - 1;
    for (const cleanup of scope.cleanups) cleanup();
    for (const tensor of tensorsIn(result)) {
      if (scope.tensors.delete(tensor)) own(tensor);
    }
    for (const tensor of scope.tensors) tensor.dispose();
  }
}

/**
 * Runs `f` as `tidy` does. If it throws, its effects are undone: draws of random streams, `assign`, and what `onFailure` names.
 * Ops that overwrite tensors (`adamWStep`, `emaStep`) run after `f` has returned. Reading their results earlier runs them at
 * once, and what happened before is final then. Inside another such function it is part of that one. Optimizers, averages,
 * draws, captured functions and sampler steps use it already.
 * @throws Error when `f` is async
 */
export function allOrNothing<Result>(f: () => Result): Result {
  expectFunction("allOrNothing", "f", f);
  return tidy(() => atomically(f));
}

const keepers: Set<Tensor>[] = [];

/** Runs `f` and notes which tensors are kept meanwhile. */
export function notingKept<Result>(f: () => Result): { result: Result; kept: ReadonlySet<Tensor> } {
  const kept = new Set<Tensor>();
  keepers.push(kept);
  try {
    return { result: f(), kept };
  } finally {
    keepers.pop();
  }
}

/** Removes a tensor from every scope: it lives until disposed or collected. @returns the tensor */
export function keep<T extends Tensor>(tensor: T): T {
  expectTensor("keep", "tensor", tensor);
  for (const kept of keepers) kept.add(tensor);
  for (const scope of scopes) {
    if (scope.tensors.delete(tensor)) leave(tensor);
  }
  return tensor;
}

/** Runs `f` as if no `tidy` were under way: what it makes lives until disposed or collected. */
export function outsideOfScopes<Result>(f: () => Result): Result {
  const waiting = scopes.splice(0);
  try {
    return f();
  } finally {
    scopes.push(...waiting);
  }
}

/** Every tensor in a value, each once: looks into arrays, plain objects, maps, sets and module fields. */
export function tensorsIn(value: unknown): Set<Tensor> {
  const found = new Set<Tensor>();
  const seen = new Set<object>();
  const visit = (item: unknown): void => {
    if (typeof item !== "object" || item === null || seen.has(item)) return;
    seen.add(item);
    if (isTensor(item)) found.add(item);
    else if (item instanceof Map || item instanceof Set || Array.isArray(item))
      for (const part of item.values()) visit(part);
    else if (!ArrayBuffer.isView(item)) for (const part of Object.values(item)) visit(part);
  };
  visit(value);
  return found;
}

function own(tensor: Tensor): void {
  const scope = scopes.at(-1);
  if (scope) scope.tensors.add(tensor);
  else leave(tensor);
}
