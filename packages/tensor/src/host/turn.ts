// Giving the event loop its turns: where the host computes, awaiting a result alone never lets a page draw or a timer fire.

/** Milliseconds: a frame of a page. */
const PERIOD = 16;

/** What is used of Node's globals; browsers have none of them. */
interface NodeGlobals {
  readonly setImmediate?: (callback: () => void) => unknown;
}

let asked = 0;
let turns: Promise<void> = Promise.resolve();

/**
 * Resolves after a turn of the event loop, in which frames are drawn, events handled and collected tensors freed, when the turn before was
 * asked for a frame ago; else with that one.
 */
export function turn(): Promise<void> {
  const now = performance.now();
  if (Math.abs(now - asked) >= PERIOD) {
    asked = now;
    turns = turns.then(nextTask);
  }
  return turns;
}

/** The next task of the event loop. Timers are not it: browsers let them wait for four milliseconds or more. */
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
