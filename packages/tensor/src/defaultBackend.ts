// The backend of tensors that are made without one.

import { expectBackend } from "./argument.ts";
import type { Backend } from "./backend.ts";

let current: Backend | undefined;

/**
 * Sets the backend of tensors that are made without one: `setDefaultBackend(await bestBackend())` once at the start. The
 * results of ops are on the backend of their operands.
 * @param backend undefined removes the default
 * @throws Error for what is not a backend, such as a promise of one
 */
export function setDefaultBackend(backend: Backend | undefined): void {
  if (backend !== undefined) expectBackend("setDefaultBackend", "backend", backend);
  current = backend;
}

/** What `setDefaultBackend` set. */
export function defaultBackend(): Backend | undefined {
  return current;
}

/** The given backend, otherwise the default one. @throws Error naming the function when there is neither */
export function backendFor(name: string, given: Backend | undefined): Backend {
  const backend = given ?? current;
  if (backend === undefined) {
    throw new Error(`${name}: no backend, want { backend } or, once, setDefaultBackend(await bestBackend())`);
  }
  expectBackend(name, "backend", backend);
  return backend;
}
