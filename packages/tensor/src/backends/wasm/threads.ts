// Runs a kernel over its rows on this thread and on workers that share the memory; returns when all rows are done.

import { DeviceLostError } from "../../backend.ts";
import { CONTROL } from "./serve.ts";
import type { Placement, WorkerThread } from "./workers.ts";

/** A kernel over rows 0 … rows − 1, in blocks of `grain`. */
export interface Task {
  readonly kernel: string;
  readonly rows: number;
  readonly grain: number;
  /** What the function takes after `begin` and `end`. */
  readonly args: readonly number[];
}

/** The arguments of a task fill at most what is left of a page of control words. */
const MAX_ARGUMENTS = 64;
/** Milliseconds. Waking a sleeper takes three times as long. */
const PATIENCE = 0.05;
/** Milliseconds of waiting for workers after which to ask whether they live. */
const SUSPICION = 1000;
/** Milliseconds of waiting for one block of a kernel after which a worker is given up; blocks take milliseconds. */
const WAIT_LIMIT = 120_000;
const READABLE = "; what this one holds can still be read";

/** The threads of one backend: the one it is called on, and workers. */
export class Threads {
  private readonly words: Int32Array;
  private readonly numbers: Float64Array;
  private readonly kernels = new Map<string, { index: number; run: (...args: number[]) => void }>();
  private readonly workers: readonly WorkerThread[];
  private readonly mayWait: boolean;
  private readonly limit: number;
  /** Why nothing can be run any more. */
  private lost: DeviceLostError | null = null;

  /**
   * @param workers started with this memory and module, and ready
   * @param limit milliseconds after which a worker that is still in its last block counts as ended
   */
  constructor({ module, memory, scratch }: Placement, workers: readonly WorkerThread[], limit = WAIT_LIMIT) {
    this.workers = workers;
    this.limit = limit;
    this.words = new Int32Array(memory.buffer, 0, 2 * (CONTROL.arguments + MAX_ARGUMENTS));
    this.numbers = new Float64Array(memory.buffer, 0, CONTROL.arguments + MAX_ARGUMENTS);
    this.mayWait = workers.length > 0 && canWait(this.words);
    const { exports } = new WebAssembly.Instance(module, { env: { memory } });
    for (const [index, { name }] of WebAssembly.Module.exports(module).entries()) {
      this.kernels.set(name, { index, run: exports[name] as (...args: number[]) => void }); // all exports are functions
    }
    this.kernels.get("useScratch")?.run(scratch[0]);
    for (const worker of workers) {
      worker.onEnd = () => this.lose("a worker thread has ended", READABLE);
      if (worker.hasEnded()) worker.onEnd();
    }
  }

  /** How many there are. */
  get count(): number {
    return this.workers.length + 1;
  }

  /** @throws DeviceLostError once a worker has ended; Error when a kernel traps */
  run({ kernel: name, rows, grain, args }: Task): void {
    if (this.lost) throw this.lost;
    const kernel = this.kernels.get(name);
    if (!kernel) throw new Error(`wasm: no kernel ${name}`);
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
   * @throws DeviceLostError where one has ended before it was done: at once in Node, after the limit where nobody can tell
   */
  private join(kernel: string): void {
    let [last, waited] = [performance.now(), 0];
    for (;;) {
      const active = Atomics.load(this.words, CONTROL.active);
      if (active === 0) return;
      const now = performance.now();
      waited += Math.min(now - last, SUSPICION); // a process that was stopped for a while has not waited
      last = now;
      if (waited > this.limit) {
        throw this.lose(`a worker thread did not end kernel ${kernel} within ${this.limit / 1000} s`, READABLE);
      }
      if (!this.mayWait || waited < PATIENCE) continue;
      const outcome = Atomics.wait(this.words, CONTROL.active, active, Math.min(SUSPICION, this.limit));
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

/** False on the main thread of a browser. */
function canWait(words: Int32Array): boolean {
  try {
    Atomics.wait(words, CONTROL.active, 1, 0);
    return true;
  } catch {
    return false;
  }
}
