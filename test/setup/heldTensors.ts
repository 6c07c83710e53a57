// What is held when a test begins to count.
import { type Backend, liveTensors } from "@pkg/tensor";
import { freeUnreachable } from "../../packages/tensor/src/memory/unscoped.ts";

/** The number of tensors, without those of earlier tests that nobody can reach: the collector would take them while the test runs. */
export function heldTensors(): number {
  freeUnreachable();
  return liveTensors();
}

/** The number of tensors and what a backend holds for them, without what earlier tests left unreachable. */
export function heldBy(backend: Backend): Held {
  freeUnreachable();
  return stillHeld(backend);
}

/** The same count after the work: nothing is collected first, so a tensor that is only dropped, and not freed, shows. */
export function stillHeld(backend: Backend): Held {
  const { buffers, bytes } = backend.memory();
  return { live: liveTensors(), buffers, bytes };
}

export interface Held {
  readonly live: number;
  readonly buffers: number;
  readonly bytes: number;
}
