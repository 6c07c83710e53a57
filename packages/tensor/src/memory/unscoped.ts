// Tensors that no scope owns. The garbage collector frees them, and is run before they hold too much.

import { garbageCollector, relieve, weighDown } from "./garbage.ts";
import type { Slot } from "./memory.ts";

/** What is known of a tensor after it is collected. */
interface Remains {
  readonly slot: Slot;
  /** Refers to undefined once the tensor is collected; null where only the event loop tells. */
  readonly tensor: WeakRef<object> | null;
  /** The bytes that it counts for. */
  readonly bytes: number;
}

/** The bytes that a tensor counts for besides its elements. */
const SELF = 1024;
/** Fewer bytes of unscoped tensors are no reason to collect. */
const LEAST = 2 ** 26;

const all = new Map<Slot, Remains>();
let bytes = 0;
/** Garbage is collected above this many bytes: twice what the last collection left. */
let limit = LEAST;
let free: (slot: Slot) => void = () => {};

/** Frees a collected tensor's storage when the event loop reports it. */
const registry = new FinalizationRegistry<Remains>((remains) => {
  if (forget(remains)) free(remains.slot);
});

/** Sets the function that frees what a collected tensor held. */
export function onCollected(f: (slot: Slot) => void): void {
  free = f;
}

/** Leaves a tensor to the garbage collector. */
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

/** Takes a disposed tensor back from the garbage collector. */
export function reclaim(tensor: object & { readonly slot: Slot }): void {
  const remains = all.get(tensor.slot);
  if (remains) forget(remains);
  relieve(tensor);
}

/**
 * Collects garbage, where a program can, and frees what unreachable tensors hold. Backends call it before an allocation fails.
 * @returns whether there were any
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
