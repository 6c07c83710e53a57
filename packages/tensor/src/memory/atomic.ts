// Steps that happen wholly or not at all. What a failing one changed on the host is undone; what it overwrites, it overwrites last.

import { expectFunction } from "../argument.ts";

/** A change of the host's state: `undo` takes it back, `settle` ends that possibility. */
interface Change {
  undo(): void;
  settle(): void;
}

/** Work that overwrites elements and waits for the step's success: `begin` comes before `run`, and `end` after it or in its place. */
interface Overwrite {
  begin(): void;
  run(): void;
  end(): void;
}

const changes: Change[] = [];
const overwrites: Overwrite[] = [];
/** How many of each are done with: what a step's place in the lists is counted from. */
const done = { changes: 0, overwrites: 0 };
let depth = 0;

/** Whether a step is under way that is all or nothing. */
export function isAtomic(): boolean {
  return depth > 0;
}

/**
 * Runs `f`, which either does all that it does or, when it throws, nothing. Inside of another such step it is a part of that one.
 * @throws Error when `f` is async
 */
export function atomically<Result>(f: () => Result): Result {
  const before = { changes: done.changes + changes.length, overwrites: done.overwrites + overwrites.length };
  depth++;
  try {
    const result = f();
    if (result instanceof Promise) throw new Error("allOrNothing: the function is async, want one that is not");
    if (depth === 1) runOverwrites();
    return result;
  } catch (error) {
    while (done.overwrites + overwrites.length > before.overwrites) {
      const dropped = overwrites.pop();
      if (!dropped) break; // those that ran already cannot be dropped
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
 * In a step that is all or nothing (see `allOrNothing`): how to take back a change that is about to be made, such as of a count.
 * Elsewhere it does nothing.
 * @param undo called when the step fails, after the undoing of what was changed later
 */
export function onFailure(undo: () => void): void {
  expectFunction("onFailure", "undo", undo);
  if (depth > 0) changes.push({ undo, settle: () => {} });
}

/** As `onFailure`, with what to do when the change can no longer be taken back. */
export function change(made: Change): void {
  if (depth > 0) changes.push(made);
  else made.settle();
}

/** Lets work wait for the end of the step. */
export function postpone(overwrite: Overwrite): void {
  overwrites.push(overwrite);
}

/**
 * Overwrites what waits to be overwritten: at the end of a step, or because somebody reads it. What was changed before cannot be undone
 * from here on.
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
