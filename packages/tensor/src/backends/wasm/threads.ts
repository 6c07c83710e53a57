// Runs a kernel over its rows on this thread and on workers that share the memory; returns when all rows are done.

import { DeviceLostError } from "../../backend.ts";
import { CONTROL, type ServeOptions, serve } from "./serve.ts";

/** A kernel over rows 0 … rows − 1, in blocks of `grain`. */
export interface Task {
  readonly kernel: string;
  readonly rows: number;
  readonly grain: number;
  readonly args: readonly number[];
}

export interface ThreadsOptions {
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

/** The arguments of a task fill at most what is left of a page of control words. */
const MAX_ARGUMENTS = 64;
/** Milliseconds. Waking a sleeper takes three times as long. */
const PATIENCE = 0.05;
/**
 * Milliseconds that workers look for work before they sleep. A sleeper is often woken on the core where this thread works, and gets its
 * turn there milliseconds later.
 */
const WORKER_PATIENCE = 0.3;
/** Milliseconds of waiting for workers after which to ask whether they live. */
const SUSPICION = 1000;
const READABLE = "; what this one holds can still be read";

/** The threads of one backend: the one it is called on, and workers. */
export class Threads {
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly kernels = new Map<string, { index: number; run: (...args: number[]) => void }>();
  private readonly workers: readonly WorkerThread[];
  private readonly mayWait: boolean;
  /** Why nothing can be run any more. */
  private lost: DeviceLostError | null = null;

  /** @param workers started with this memory and module, and ready */
  constructor({ module, memory, scratch }: ThreadsOptions, workers: readonly WorkerThread[]) {
    this.workers = workers;
    this.words = new Int32Array(memory.buffer, 0, 2 * (CONTROL.arguments + MAX_ARGUMENTS));
    this.numbers = new Float64Array(memory.buffer, 0, CONTROL.arguments + MAX_ARGUMENTS);
    this.mayWait = workers.length > 0 && canWait(this.words);
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    for (const [index, { name }] of WebAssembly.Module.exports(module).entries()) {
      this.kernels.set(name, { index, run: exports[name] as (...args: number[]) => void }); // all exports are functions
    }
    this.kernels.get("useScratch")?.run(scratch[0]);
    for (const worker of workers) worker.onEnd = () => this.lose("a worker thread has ended", READABLE);
  }

  /** How many there are. */
  get count(): number {
    return this.workers.length + 1;
  }

  /** @throws DeviceLostError once a worker has ended; Error for unknown kernels, and when a kernel traps */
  run({ kernel: name, rows, grain, args }: Task): void {
    if (this.lost) throw this.lost;
    const kernel = this.kernels.get(name);
    if (!kernel) throw new Error(`wasm: no kernel ${name}, want one of ${[...this.kernels.keys()].join(", ")}`);
    if (kernel.run.length !== args.length + 2) {
      throw new Error(`wasm: ${args.length} arguments for ${name}, want ${kernel.run.length - 2}`);
    }
    if (rows <= grain || this.workers.length === 0) {
      for (let begin = 0; begin < rows; begin += grain) kernel.run(begin, Math.min(begin + grain, rows), ...args);
      return;
    }
    const { words } = this;
    words[CONTROL.kernel] = kernel.index;
    words[CONTROL.rows] = rows;
    words[CONTROL.grain] = grain;
    words[CONTROL.count] = args.length;
    this.numbers.set(args, CONTROL.arguments);
    Atomics.store(words, CONTROL.next, 0);
    Atomics.store(words, CONTROL.open, 1);
    Atomics.add(words, CONTROL.epoch, 1);
    if (Atomics.load(words, CONTROL.sleepers) > 0) Atomics.notify(words, CONTROL.epoch);
    try {
      for (;;) {
        const begin = Atomics.add(words, CONTROL.next, 1) * grain;
        if (begin >= rows) break;
        kernel.run(begin, Math.min(begin + grain, rows), ...args);
      }
    } finally {
      Atomics.store(words, CONTROL.open, 0);
      this.join(name);
    }
    if (Atomics.exchange(words, CONTROL.failed, 0) === 1) throw new Error(`wasm: kernel ${name} trapped in a worker`);
  }

  dispose(): void {
    this.lose("the backend is disposed", "");
    for (const worker of this.workers) worker.terminate();
  }

  /**
   * Waits until no worker is at work.
   * @throws DeviceLostError where one has ended before it was done; in browsers nobody can tell, and the wait has no end
   */
  private join(kernel: string): void {
    const since = performance.now();
    for (;;) {
      const active = Atomics.load(this.words, CONTROL.active);
      if (active === 0) return;
      if (!this.mayWait || performance.now() - since < PATIENCE) continue;
      const outcome = Atomics.wait(this.words, CONTROL.active, active, SUSPICION);
      if (outcome === "timed-out" && this.workers.some((worker) => worker.hasEnded())) {
        throw this.lose(`a worker thread has ended in kernel ${kernel}`, READABLE);
      }
    }
  }

  private lose(reason: string, remark: string): DeviceLostError {
    this.lost ??= new DeviceLostError(`wasm: ${reason}, want a new backend${remark}`);
    return this.lost;
  }
}

/** Starts workers and waits until each is ready; those that a page's security policy forbids, or that fail, are left out. */
export async function startWorkers({ module, memory, scratch }: ThreadsOptions): Promise<WorkerThread[]> {
  const started = scratch.slice(1).map((address) => {
    return startWorker({ module, memory, scratch: address, patience: WORKER_PATIENCE, control: CONTROL });
  });
  const settled = await Promise.allSettled(started);
  return settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

/** Processors that this process may use. */
export function processors(): number {
  const os = node()?.getBuiltinModule("node:os");
  return os ? os.availableParallelism() : (globalThis.navigator?.hardwareConcurrency ?? 1);
}

function startWorker(options: ServeOptions): Promise<WorkerThread> {
  return new Promise((resolve, reject) => {
    const threads = node()?.getBuiltinModule("node:worker_threads");
    if (threads) {
      // From within the event loop, of which Node tells no times otherwise.
      const source = `const { parentPort, workerData } = require("node:worker_threads"); setImmediate(() => { parentPort.postMessage(0); (${serve})(workerData); });`;
      const worker = new threads.Worker(source, { eval: true, workerData: options });
      const idleTime = () => worker.performance.eventLoopUtilization().idle;
      const thread: WorkerThread = {
        terminate: () => worker.terminate(),
        onEnd: () => {},
        hasEnded: () => idleTime() < 0, // what Node says of a loop that is no more
      };
      worker.once("message", () => {
        worker.unref(); // it never ends by itself, and the process need not wait for it
        idleTime(); // Node notes when the loop began, and cannot later
        resolve(thread);
      });
      worker.once("error", reject);
      worker.once("exit", () => thread.onEnd());
    } else {
      const source = `onmessage = ({ data }) => { postMessage(0); (${serve})(data); };`;
      const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      const worker = new Worker(url);
      const thread: WorkerThread = { terminate: () => worker.terminate(), onEnd: () => {}, hasEnded: () => false };
      worker.onmessage = () => {
        URL.revokeObjectURL(url);
        resolve(thread);
      };
      worker.onerror = ({ message }) => {
        thread.onEnd();
        reject(new Error(`wasm: a worker failed (${message})`));
      };
      worker.postMessage(options);
    }
  });
}

/** False on the main thread of a browser. */
function canWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, CONTROL.active, 1, 0);
    return true;
  } catch {
    return false;
  }
}

interface NodeProcess {
  getBuiltinModule(name: "node:os"): { availableParallelism(): number };
  getBuiltinModule(name: "node:worker_threads"): { Worker: NodeWorker };
  getBuiltinModule(name: "node:v8"): { setFlagsFromString(flag: string): void };
}

type NodeWorker = new (
  source: string,
  options: { eval: true; workerData: unknown },
) => {
  readonly performance: { eventLoopUtilization(): { readonly idle: number } };
  terminate(): void;
  once(event: string, listener: (value: unknown) => void): void;
  unref(): void;
};

/** Node's `process`, whose built-in modules are asked for at run time, so that bundlers for browsers see no import of them. */
export function node(): NodeProcess | undefined {
  const { process } = globalThis as { process?: NodeProcess };
  return process && "getBuiltinModule" in process ? process : undefined;
}
