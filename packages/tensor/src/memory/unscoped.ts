// Tensors that no scope owns: they live until nobody can reach them, and the collector of garbage is asked in time to find that out.

import { garbageCollector, relieve, weighDown } from "./garbage.ts";
import type { Slot } from "./memory.ts";

/** What stays of a tensor. */
interface Remains {
  readonly slot: Slot;
  /** Undefined once it is collected; null where only the event loop tells. */
  readonly tensor: WeakRef<object> | null;
  /** What it counts for. */
  readonly bytes: number;
}

/** What a tensor counts for beside its elements. */
const SELF = 1024;
/** So many bytes of unscoped tensors are no reason to collect. */
const LEAST = 2 ** 26;

const all = new Map<Slot, Remains>();
let bytes = 0;
/** Beyond so many bytes garbage is collected: twice what the collection before left. */
let limit = LEAST;
let free: (slot: Slot) => void = () => {};

/** What the event loop tells, in its turns, of tensors that were collected. */
const registry = new FinalizationRegistry<Remains>((remains) => {
  if (forget(remains)) free(remains.slot);
});

/** Who frees what collected tensors held. */
export function onCollected(f: (slot: Slot) => void): void {
  free = f;
}

/** Leaves a tensor to the collector. */
export function leave(tensor: object & { readonly slot: Slot }): void {
  const { slot } = tensor;
  const canCollect = garbageCollector() !== null;
  const remains: Remains = {
    slot,
    tensor: canCollect ? new WeakRef(tensor) : null,
    bytes: SELF + (slot.storage?.claim() ?? 0),
  };
  all.set(slot, remains);
  registry.register(tensor, remains, slot);
  bytes += remains.bytes;
  if (!canCollect) weighDown(tensor, remains.bytes);
  else if (bytes > limit) freeUnreachable();
}

/** Takes a tensor back from the collector: it was disposed of. */
export function reclaim(tensor: object & { readonly slot: Slot }): void {
  const remains = all.get(tensor.slot);
  if (remains) forget(remains);
  relieve(tensor);
}

/**
 * Frees what unreachable tensors hold, where garbage can be collected at will; returns whether there were any. Backends ask for it before
 * an allocation fails.
 */
export function freeUnreachable(): boolean {
  const collectGarbage = garbageCollector();
  if (!collectGarbage) return false;
  collectGarbage();
  const before = all.size;
  for (const remains of all.values()) {
    if (remains.tensor?.deref() === undefined && forget(remains)) free(remains.slot);
  }
  limit = Math.max(LEAST, 2 * bytes);
  return all.size < before;
}

function forget(remains: Remains): boolean {
  registry.unregister(remains.slot);
  if (!all.delete(remains.slot)) return false;
  bytes -= remains.bytes;
  return true;
}
