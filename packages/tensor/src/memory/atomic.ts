// All-or-nothing steps. A failing step undoes its changes on the host; overwrites of elements wait until a step has succeeded.

import { expectFunction } from "../argument.ts";

/** A change of state on the host. `undo` reverts it; `settle` makes it final. */
interface Change {
  undo(): void;
  settle(): void;
}

/** Work that overwrites elements once the step succeeds. `begin` comes before `run`; `end` comes after it, or instead of it. */
interface Overwrite {
  begin(): void;
  run(): void;
  end(): void;
}

const changes: Change[] = [];
const overwrites: Overwrite[] = [];
/** How many changes and overwrites are final. A step counts its place in the lists from there. */
const done = { changes: 0, overwrites: 0 };
let depth = 0;

/** Whether an all-or-nothing step is running. */
export function isAtomic(): boolean {
  return depth > 0;
}

/**
 * Runs `f` as one step: if it throws, everything it did is undone. Inside another step it is part of that step.
 * @throws Error when `f` is async
 */
export function atomically<Result>(f: () => Result): Result {
  const before = { changes: done.changes + changes.length, overwrites: done.overwrites + overwrites.length };
  depth++;
  try {
    const result = f();
    if (result instanceof Promise) throw new Error("allOrNothing: the function is async, want a synchronous one");
    if (depth === 1) runOverwrites();
    return result;
  } catch (error) {
    while (done.overwrites + overwrites.length > before.overwrites) {
      const dropped = overwrites.pop();
      if (!dropped) break; // the others have run
      dropped.begin();
      dropped.end();
    }
    while (done.changes + changes.length > before.changes) {
      const change = changes.pop();
      if (!change) break;
      change.undo();
    }
    throw error;
  } finally {
    depth--;
  }
}

/**
 * In an all-or-nothing step (see `allOrNothing`), says how to undo a change that is about to be made, such as a count.
 * Elsewhere it does nothing.
 * @param undo called if the step fails; later changes are undone first
 */
export function onFailure(undo: () => void): void {
  expectFunction("onFailure", "undo", undo);
  if (depth > 0) changes.push({ undo, settle: () => {} });
}

/** As `onFailure`, with a call for the moment when the change becomes final. */
export function change(made: Change): void {
  if (depth > 0) changes.push(made);
  else made.settle();
}

/** Postpones work until the step succeeds. */
export function postpone(overwrite: Overwrite): void {
  overwrites.push(overwrite);
}

/**
 * Runs the postponed overwrites: at the end of a step, or when their elements are read. Earlier changes of the step are final
 * then.
 */
export function runOverwrites(): void {
  const waiting = overwrites.splice(0);
  done.overwrites += waiting.length;
  for (const { begin } of waiting) begin();
  let ended = 0;
  try {
    for (const { run, end } of waiting) {
      run();
      end();
      ended++;
    }
  } finally {
    for (const { end } of waiting.slice(ended)) end();
  }
  const final = changes.splice(0);
  done.changes += final.length;
  for (const { settle } of final) settle();
}
