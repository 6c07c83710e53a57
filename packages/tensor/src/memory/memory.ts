// Who owns a tensor: reference-counted storage, tidy scopes, and the garbage collector as a safety net.

import { expectFunction, expectTensor, isTensor } from "../argument.ts";
import type { Backend, Buffer } from "../backend.ts";
import { refuseInCapture } from "../capture/session.ts";
import type { DType } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { atomically, runOverwrites } from "./atomic.ts";
import { leave, onCollected, reclaim } from "./unscoped.ts";

/** A buffer shared by the tensors that view it; freed with the last of them. */
export class Storage {
  readonly backend: Backend;
  readonly dtype: DType;
  private readonly bytes: number;
  private isClaimed = false;
  /** Whether its elements wait to be overwritten. */
  isStale = false;
  private readonly memory: Buffer;
  private owners = 1;
  private pins = 0;

  constructor(backend: Backend, size: number, dtype: DType, label: string) {
    this.backend = backend;
    this.bytes = 4 * size;
    this.memory = backend.allocate(size, dtype, label);
    this.dtype = dtype;
  }

  /** Where the elements are, up to date. */
  get buffer(): Buffer {
    if (this.isStale) runOverwrites();
    return this.memory;
  }

  /** Whether anybody but one tensor holds it. */
  get isShared(): boolean {
    return this.owners > 1;
  }

  retain(): this {
    this.owners++;
    return this;
  }

  release(): void {
    this.owners--;
    this.freeUnheld();
  }

  /** How many bytes it holds, to the first of its tensors that asks; 0 to the others, so that they are counted once. */
  claim(): number {
    const bytes = this.isClaimed ? 0 : this.bytes;
    this.isClaimed = true;
    return bytes;
  }

  /** Keeps it in being, without sharing it. */
  pin(): void {
    this.pins++;
  }

  unpin(): void {
    this.pins--;
    this.freeUnheld();
  }

  private freeUnheld(): void {
    if (this.owners + this.pins === 0) this.backend.free(this.memory);
  }
}

/** Where a tensor finds its storage: shared with the collector's safety net, which must see reassignments. Null once disposed. */
export interface Slot {
  storage: Storage | null;
}

/** Tensors made in the innermost `tidy`, and what else to run when it ends. */
interface Scope {
  readonly tensors: Set<Tensor>;
  readonly cleanups: (() => void)[];
}

const scopes: Scope[] = [];
let live = 0;

// A tensor that nobody can reach any more, and that no scope owned, gives its storage back when it is collected.
onCollected((slot) => {
  live--;
  slot.storage?.release();
  slot.storage = null;
});

/** Hands a new tensor to the innermost scope, or to the garbage collector outside of any. */
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

/** What to run when something nobody can reach any more is collected. */
const cleanups = new FinalizationRegistry<() => void>((cleanup) => cleanup());

/** Runs `cleanup` when the innermost scope ends; outside of any, when `owner`, which it must not hold, is collected. */
export function onScopeEnd(owner: object, cleanup: () => void): void {
  const scope = scopes.at(-1);
  if (scope) scope.cleanups.push(cleanup);
  else cleanups.register(owner, cleanup);
}

/** The number of tensors not yet disposed, on all backends. */
export function liveTensors(): number {
  return live;
}

/**
 * Runs `f` and disposes every tensor made in it, except those in its result (found in arrays and plain objects) and those kept.
 * Nothing but speed and peak memory depends on it: outside of a scope tensors are freed when the garbage collector has found that nobody
 * can reach them. In Node and Deno it is asked when they hold twice what was left before (64 MiB at least), and before an allocation
 * fails. Browsers are made to feel the bytes, and free them in turns of the event loop alone, which readings give.
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
 * Runs `f` as `tidy` does, and when it throws takes back what it did: draws of random streams, `assign`, and what was handed to
 * `onFailure`. Ops that overwrite tensors (`adamWStep`, `emaStep`) run when `f` has returned, so that nothing is overwritten if it throws;
 * when their results are read earlier, they run then, and what happened before stays. Inside of another such function it is a part of
 * that one. Optimizers, averages, draws, captured functions and the steps of samplers are all or nothing by themselves.
 * @throws Error when `f` is async
 */
export function allOrNothing<Result>(f: () => Result): Result {
  expectFunction("allOrNothing", "f", f);
  return tidy(() => atomically(f));
}

/** Takes a tensor out of every scope: it lives until disposed or collected. Returns it. @throws Error in a captured function */
export function keep<T extends Tensor>(tensor: T): T {
  expectTensor("keep", "tensor", tensor);
  refuseInCapture("keeping a tensor", "it returned, or assigned to one made outside");
  for (const scope of scopes) {
    if (scope.tensors.delete(tensor)) leave(tensor);
  }
  return tensor;
}

/** Every tensor reachable from a value through arrays, plain objects, maps and module fields; each once. */
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
