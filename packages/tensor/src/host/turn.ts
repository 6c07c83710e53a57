// Turns of the event loop. On a backend that computes on the host, awaiting a result alone lets no page draw and no timer fire.

/** Milliseconds per frame of a page. */
const PERIOD = 16;

/** The parts of Node's globals that are used; browsers have none of them. */
interface NodeGlobals {
  readonly setImmediate?: (callback: () => void) => unknown;
}

let asked = 0;
let turns: Promise<void> = Promise.resolve();

/**
 * Resolves after a turn of the event loop, in which frames are drawn, events handled and collected tensors freed. At most one
 * turn is taken per frame; calls in between share it.
 */
export function turn(): Promise<void> {
  const now = performance.now();
  if (Math.abs(now - asked) >= PERIOD) {
    asked = now;
    turns = turns.then(nextTask);
  }
  return turns;
}

/** The next task of the event loop. Timers would not do: browsers delay them by four milliseconds or more. */
function nextTask(): Promise<void> {
  const { setImmediate } = globalThis as NodeGlobals;
  return new Promise((resolve) => {
    if (setImmediate) {
      setImmediate(() => resolve());
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
