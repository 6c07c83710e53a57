// Who is told of every op that runs, and which tasks' ops these are: several may run side by side, each with an observer.

import { type AsyncStore, nodeProcess } from "../host/host.ts";
import type { Op } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/**
 * Is told of every op that has run.
 * @param isCertain whether nobody else can have run it: false where the observed function waits meanwhile, on hosts that cannot tell
 */
export type Observer = (
  op: Op<unknown>,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  isCertain: boolean,
  attrs: unknown,
) => void;

/** A function that is observed while it runs. */
interface Observation {
  readonly observer: Observer;
  isOver: boolean;
}

const nobody: Observation = { observer: () => {}, isOver: true };
const going = new Set<Observation>();
/** The function that runs now, where it has not waited yet. */
let current: Observation | null = null;
/** Follows a function to where it goes on after it has waited; browsers have no such thing. */
let tasks: AsyncStore<Observation> | null | undefined;

/**
 * Runs `f`, and has `observer` told of its ops; those of functions that are observed inside of it are told to their own observers.
 * @param f may be async: what other tasks run while it waits is not told in Node and Deno, and told as not certain in browsers
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
    return Promise.resolve(result).finally(() => end(observation)) as Result; // of the same value
  } finally {
    if (!isWaiting) end(observation);
  }
}

/** Runs `f`, of whose ops nobody is told. */
export function unobserved<Result>(f: () => Result): Result {
  return asCurrent(nobody, f);
}

/** Whether an op that ran now would be told to anybody. */
export function isObserved(): boolean {
  return going.size > 0 && toTell().length > 0;
}

/** Tells of an op that has run. */
export function tell(op: Op<unknown>, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: unknown): void {
  if (going.size === 0) return;
  const isCertain = current !== null || tasks !== null;
  for (const { observer } of toTell()) unobserved(() => observer(op, inputs, outputs, isCertain, attrs));
}

function toTell(): readonly Observation[] {
  if (!current && !tasks) return [...going]; // one of those that wait, or somebody else
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
  if (going.size === 0) tasks?.disable(); // or Node would follow every promise for ever
}
