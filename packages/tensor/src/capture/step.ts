// The captured step that is under way, and its tracer.

import type { Backend } from "../backend.ts";
import type { Trace } from "./trace.ts";
import { Tracer } from "./tracer.ts";

/** A captured step under way. Its tracer is made at its first op on a backend that can record. */
export interface Step {
  readonly traces: readonly Trace[];
  tracer: Tracer | null;
}

let current: Step | null = null;

/** Begins a step. */
export function begin(step: Step): void {
  current = step;
}

/** Ends the step, if it is under way. */
export function leave(tracer: Tracer | null): void {
  if (current?.tracer === tracer) current = null;
}

/** Whether a captured step is under way. */
export function isTracing(): boolean {
  return current !== null;
}

/** Runs `f` outside of the step that is under way: its work is done at once. */
export function outsideOfStep<Result>(f: () => Result): Result {
  const step = current;
  current = null;
  try {
    return f();
  } finally {
    current = step?.tracer?.isOver ? null : step; // f may have read what the step has to make, which ends it
  }
}

/** The tracer of a backend's work; null if the work is done at once. */
export function tracerOn(backend: Backend): Tracer | null {
  if (!current) return null;
  if (!current.tracer && backend.record) current.tracer = new Tracer(backend, current.traces, leave);
  return current.tracer?.backend === backend ? current.tracer : null;
}
