// Observers of the ops that run. Several observed functions may run concurrently; each observer sees its own function's ops.

import { type AsyncStore, nodeProcess } from "../host/host.ts";
import type { Op } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Called after each op.
 * @param isCertain false where the observed function waits on a host that cannot tell tasks apart: the op may be another task's
 */
export type Observer = (
  op: Op<unknown>,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  isCertain: boolean,
  attrs: unknown,
) => void;

/** One run of an observed function. */
interface Observation {
  readonly observer: Observer;
  isOver: boolean;
}

const nobody: Observation = { observer: () => {}, isOver: true };
const going = new Set<Observation>();
/** The observed function that runs now, until it first waits. */
let current: Observation | null = null;
/** Follows a function across its waits; null in browsers, which have no such thing. */
let tasks: AsyncStore<Observation> | null | undefined;

/**
 * Runs `f` and calls `observer` after each of its ops. A function that is observed inside of it has its own observer.
 * @param f may be async. Node and Deno leave out ops of other tasks; browsers report them as not certain
 */
export function observe<Result>(f: () => Result, observer: Observer): Result {
  if (tasks === undefined) {
    const hooks = nodeProcess()?.getBuiltinModule("node:async_hooks");
    tasks = hooks ? new hooks.AsyncLocalStorage<Observation>() : null;
  }
  const observation = { observer, isOver: false };
  going.add(observation);
  let isWaiting = false;
  try {
    const result = asCurrent(observation, () => (tasks ? tasks.run(observation, f) : f()));
    if (!isPromise(result)) return result;
    isWaiting = true;
    return Promise.resolve(result).finally(() => end(observation)) as Result; // the promise has the same value
  } finally {
    if (!isWaiting) end(observation);
  }
}

/** Runs `f` without an observer. */
export function unobserved<Result>(f: () => Result): Result {
  return asCurrent(nobody, f);
}

/** Whether an op that ran now would be observed. */
export function isObserved(): boolean {
  return going.size > 0 && toTell().length > 0;
}

/** Tells the observers of an op that has run. */
export function tell(op: Op<unknown>, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: unknown): void {
  if (going.size === 0) return;
  const isCertain = current !== null || tasks !== null;
  for (const { observer } of toTell()) unobserved(() => observer(op, inputs, outputs, isCertain, attrs));
}

function toTell(): readonly Observation[] {
  if (!current && !tasks) return [...going]; // the op belongs to one of those that wait, or to another task
  const one = current ?? tasks?.getStore();
  return one && !one.isOver ? [one] : [];
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}

function asCurrent<Result>(observation: Observation, f: () => Result): Result {
  const before = current;
  current = observation;
  try {
    return f();
  } finally {
    current = before;
  }
}

function end(observation: Observation): void {
  observation.isOver = true;
  going.delete(observation);
  if (going.size === 0) tasks?.disable(); // otherwise Node keeps following every promise
}
