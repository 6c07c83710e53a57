// What a worker thread does: runs blocks of kernels as the main thread posts them. Its text becomes the worker's source.

/**
 * The words of the control page, as indices of an Int32Array.
 *
 * The main thread writes a task, opens it and bumps the epoch. A worker that has counted itself active and then finds the task
 * open may read it and take blocks. The main thread closes the task and waits until nobody is active before it writes the next.
 */
export const CONTROL = {
  epoch: 0,
  open: 1,
  /** The next block to take. */
  next: 2,
  active: 3,
  sleepers: 4,
  /** 1 after a kernel has trapped. */
  failed: 5,
  kernel: 6,
  rows: 7,
  grain: 8,
  /** The number of arguments, which follow from word `arguments` of a Float64Array on. */
  count: 9,
  arguments: 8,
} as const;

/** What a worker is started with. */
export interface ServeOptions {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** The address of the worker's scratch memory. */
  readonly scratch: number;
  /** Milliseconds to look for work before sleeping. */
  readonly patience: number;
  readonly control: typeof CONTROL;
}

/** Never returns. It may name nothing outside of itself, and no function inside: bundlers leave such a source runnable. */
export function serve({ module, memory, scratch, patience, control: at }: ServeOptions): void {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const kernels = WebAssembly.Module.exports(module).map(({ name }) => exports[name] as (...args: number[]) => void);
  (exports.useScratch as (address: number) => void)(scratch);
  const words = new Int32Array(memory.buffer);
  const numbers = new Float64Array(memory.buffer);
  let seen = 0;
  for (;;) {
    const since = performance.now();
    while (Atomics.load(words, at.epoch) === seen) {
      if (performance.now() - since < patience) continue;
      Atomics.add(words, at.sleepers, 1);
      Atomics.wait(words, at.epoch, seen);
      Atomics.sub(words, at.sleepers, 1);
    }
    seen = Atomics.load(words, at.epoch);
    Atomics.add(words, at.active, 1);
    if (Atomics.load(words, at.open) === 1) {
      const kernel = kernels[words[at.kernel]];
      const rows = words[at.rows];
      const grain = words[at.grain];
      const args = [0, 0, ...numbers.subarray(at.arguments, at.arguments + words[at.count])];
      try {
        for (;;) {
          const begin = Atomics.add(words, at.next, 1) * grain;
          if (begin >= rows) break;
          args[0] = begin;
          args[1] = Math.min(begin + grain, rows);
          kernel(...args);
        }
      } catch {
        Atomics.store(words, at.failed, 1);
      }
    }
    if (Atomics.sub(words, at.active, 1) === 1) Atomics.notify(words, at.active);
  }
}
