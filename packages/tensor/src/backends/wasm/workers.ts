// Starts the worker threads of the WebAssembly backend, in Node, Deno and browsers, and tells why one could not be had.

import { nodeProcess } from "../../host/host.ts";
import { CONTROL, type ServeOptions, serve } from "./serve.ts";

/** Where a backend's threads work. */
export interface Placement {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** The address of each thread's scratch memory, this one's first: as many as there are threads. */
  readonly scratch: readonly number[];
}

/** A worker that serves. */
export interface WorkerThread {
  terminate(): void;
  /** Called when it ends, once this thread has its turn for events. */
  onEnd: () => void;
  /** Whether it has ended, as far as can be told without events: a thread that waits has none. */
  hasEnded(): boolean;
}

/** A worker that is not ready yet: it must call one of the two. */
interface Outcome {
  ready(): void;
  failed(reason: string): void;
}

/**
 * Milliseconds that workers look for work before they sleep. A sleeper is often woken on the core where this thread works, and gets its
 * turn there milliseconds later.
 */
const WORKER_PATIENCE = 0.3;
/** Milliseconds after which a worker that says nothing is given up. */
const START_LIMIT = 30_000;

/**
 * Starts workers and waits until each is ready. Those that fail, that a page's security policy forbids, or that say nothing within
 * `limit` milliseconds are left out.
 * @returns those that are ready, and why the first of the others is not
 */
export async function startWorkers(
  { module, memory, scratch }: Placement,
  limit = START_LIMIT,
): Promise<{ workers: WorkerThread[]; failure: string }> {
  const started = scratch.slice(1).map((address) => {
    return startWorker({ module, memory, scratch: address, patience: WORKER_PATIENCE, control: CONTROL }, limit);
  });
  const settled = await Promise.all(started);
  return {
    workers: settled.filter((one) => typeof one !== "string"),
    failure: settled.find((one) => typeof one === "string") ?? "",
  };
}

/** Processors that this process may use. */
export function processors(): number {
  const os = nodeProcess()?.getBuiltinModule("node:os");
  return os ? os.availableParallelism() : (globalThis.navigator?.hardwareConcurrency ?? 1);
}

/** A worker that is ready, or why there is none. */
function startWorker(options: ServeOptions, limit: number): Promise<WorkerThread | string> {
  return new Promise((resolve) => {
    let worker: WorkerThread | null = null;
    const failed = (reason: string): void => {
      clearTimeout(timer);
      worker?.terminate();
      resolve(reason);
    };
    const timer = setTimeout(() => failed(`a worker said nothing for ${limit / 1000} s`), limit);
    const ready = (): void => {
      clearTimeout(timer);
      if (worker) resolve(worker);
    };
    try {
      worker = nodeProcess() ? nodeWorker(options, { ready, failed }) : webWorker(options, { ready, failed });
    } catch (error) {
      failed(`no worker can be started: ${error instanceof Error ? error.message : error}`);
    }
  });
}

function nodeWorker(options: ServeOptions, { ready, failed }: Outcome): WorkerThread | null {
  const threads = nodeProcess()?.getBuiltinModule("node:worker_threads");
  if (!threads) return null;
  // From within the event loop, of which Node tells no times otherwise. It has no `require` where --input-type makes it a module.
  const source = `const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads"); setImmediate(() => { parentPort.postMessage(0); (${serve})(workerData); });`;
  const worker = new threads.Worker(source, { eval: true, workerData: options });
  const idleTime = () => worker.performance?.eventLoopUtilization?.().idle ?? 0;
  let isOver = false;
  const thread: WorkerThread = {
    terminate: () => worker.terminate(),
    onEnd: () => {},
    hasEnded: () => isOver || idleTime() < 0, // what Node says of a loop that is no more
  };
  worker.once("message", () => {
    worker.unref(); // it never ends by itself, and the process need not wait for it
    idleTime(); // Node notes when the loop began, and cannot later
    ready();
  });
  worker.once("error", (error) => failed(`a worker failed: ${error.message}`));
  worker.once("exit", (code) => {
    isOver = true;
    thread.onEnd();
    failed(`a worker ended with code ${code} before it was ready`);
  });
  return thread;
}

function webWorker(options: ServeOptions, { ready, failed }: Outcome): WorkerThread {
  const source = `onmessage = ({ data }) => { postMessage(0); (${serve})(data); };`;
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  const thread: WorkerThread = { terminate: () => worker.terminate(), onEnd: () => {}, hasEnded: () => false };
  worker.onmessage = () => {
    URL.revokeObjectURL(url);
    ready();
  };
  worker.onerror = ({ message }) => {
    URL.revokeObjectURL(url);
    thread.onEnd();
    // A page's policy forbids without a message.
    failed(
      message
        ? `a worker failed: ${message}`
        : "the page may start no workers from blob: addresses, want worker-src blob: in its Content-Security-Policy",
    );
  };
  worker.postMessage(options);
  return thread;
}
