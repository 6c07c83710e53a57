// Waiting for the device without burning a core: Dawn's bindings for Node look for finished work in a loop that never sleeps.

/** What is used of Node's globals; browsers have none of them, and wait without a loop. */
interface NodeGlobals {
  readonly process?: { readonly versions?: { readonly node?: string } };
  readonly setImmediate?: (callback: () => void) => unknown;
}

/** Milliseconds of waiting before the first nap: short waits end soonest when they are polled for. */
const PATIENCE = 1;
/** The longest nap in milliseconds: by so much timers and other promises may be late. */
const LONGEST_NAP = 1;

const { process, setImmediate } = globalThis as NodeGlobals;
// Nothing can sleep without shared memory; then the loop goes on without naps.
const canNap = process?.versions?.node && setImmediate && typeof SharedArrayBuffer !== "undefined";
const cell = canNap ? new Int32Array(new SharedArrayBuffer(4)) : null;
let waits = 0;
let since = 0;
let isNapping = false;

/**
 * Awaits something of the device's. In Node the thread sleeps between the looks that Dawn takes: for a sixteenth of the time
 * waited so far, at most a millisecond. In between timers, signals and other promises have their turn.
 */
export async function patiently<T>(pending: Promise<T>): Promise<T> {
  waits++;
  since = performance.now();
  if (!isNapping) void nap();
  try {
    return await pending;
  } finally {
    waits--;
    since = performance.now();
  }
}

/** Runs as long as anybody waits; one loop for all of them. */
async function nap(): Promise<void> {
  if (!cell || !setImmediate) return;
  isNapping = true;
  while (waits > 0) {
    await new Promise<void>((turn) => void setImmediate(turn));
    const waited = performance.now() - since;
    if (waits > 0 && waited > PATIENCE) Atomics.wait(cell, 0, 0, Math.min(LONGEST_NAP, waited / 16));
  }
  isNapping = false;
}
