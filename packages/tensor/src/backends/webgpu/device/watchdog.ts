// Notices that the device ends nothing any more. It stands outside of the device's calls, some of which would wait for ever.

import { DeviceStalledError } from "../../../backend.ts";

/** Command buffers handed over between two questions whether the device is through with them. */
const PROBE_EVERY = 4;
/** The last ops that are remembered of a command buffer, and the command buffers of which they are. */
const OPS = 8;
const BATCHES = 64;

/** A command buffer on the device. */
interface Batch {
  readonly number: number;
  /** The last ops in it. */
  readonly ops: readonly string[];
}

/** Watches one device while somebody waits for it. */
export class Watchdog {
  private readonly queue: Pick<GPUQueue, "onSubmittedWorkDone">;
  private readonly name: string;
  /** In seconds. */
  private readonly limit: number;
  private readonly waiting = new Set<(error: Error) => void>();
  private timer: ReturnType<typeof setInterval> | undefined;
  /** Seconds that somebody has waited since the device last ended anything. */
  private idle = 0;
  private ops: string[] = [];
  private handed = 0;
  private ended = 0;
  private probed = 0;
  private batches: Batch[] = [];
  /** Whether the limit has passed, and nothing has ended since. */
  isStalled = false;

  /** @param limit seconds, or Infinity */
  constructor(queue: Pick<GPUQueue, "onSubmittedWorkDone">, name: string, limit: number) {
    this.queue = queue;
    this.name = name;
    this.limit = limit;
  }

  /** Notes an op that is put into the next command buffer. */
  note(op: string): void {
    if (this.ops.at(-1) === op) return;
    if (this.ops.length === OPS) this.ops.shift();
    this.ops.push(op);
  }

  /** Notes that a command buffer was handed to the device. */
  handOver(): void {
    const number = ++this.handed;
    if (this.batches.length < BATCHES) this.batches.push({ number, ops: this.ops });
    this.ops = [];
    // What is awaited tells by itself; of long queues that nobody waits for yet, progress has to be asked for on the way.
    if (number - Math.max(this.probed, this.ended) < PROBE_EVERY) return;
    this.probed = number;
    this.queue.onSubmittedWorkDone().then(
      () => this.end(number),
      () => {}, // a lost device is told by other means
    );
  }

  /**
   * Waits for what the device does after all that it has been handed.
   * @throws DeviceStalledError when the device ends nothing for as long as the limit; what `pending` rejects with
   */
  watch<T>(pending: Promise<T>): Promise<T> {
    const until = this.handed;
    return new Promise((resolve, reject) => {
      if (this.waiting.size === 0) this.begin();
      this.waiting.add(reject);
      const leave = () => {
        this.waiting.delete(reject);
        if (this.waiting.size === 0) clearInterval(this.timer);
      };
      pending.then(
        (value) => {
          leave();
          this.end(until);
          resolve(value);
        },
        (error) => {
          leave();
          reject(error);
        },
      );
    });
  }

  private begin(): void {
    this.idle = 0;
    if (this.limit === Number.POSITIVE_INFINITY) return;
    // Turns of a timer are counted, not the clock: a host that was busy or asleep has given the device no chance to be heard.
    const turn = Math.min(1, this.limit / 4);
    this.timer = setInterval(() => {
      this.idle += turn;
      if (this.idle >= this.limit) this.stall();
    }, 1000 * turn);
  }

  private end(number: number): void {
    this.idle = 0;
    this.isStalled = false;
    this.ended = Math.max(this.ended, number);
    this.batches = this.batches.filter((batch) => batch.number > number);
  }

  private stall(): void {
    this.isStalled = true;
    const left = this.handed - this.ended;
    const [first] = this.batches;
    const last = first?.ops.length ? `, whose last ops are ${first.ops.join(", ")}` : "";
    const error = new DeviceStalledError(
      `${this.name}: the device has ended nothing for ${this.limit} s; it is at the first of ${left} command buffers${last}; want a longer timeout, smaller ops, or a new backend`,
    );
    clearInterval(this.timer);
    const waiting = [...this.waiting];
    this.waiting.clear();
    for (const reject of waiting) reject(error);
  }
}
