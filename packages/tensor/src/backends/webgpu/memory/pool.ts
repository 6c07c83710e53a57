// GPU buffers by size class, reused as soon as they are free: the queue runs in order, so a later op may overwrite at once.

import { OutOfMemoryError } from "../../../backend.ts";
import { freeUnreachable } from "../../../memory/unscoped.ts";
import type { Counting } from "../counters.ts";

/** One pooled buffer. */
export interface GpuBuffer {
  /** Distinct for every buffer of the process; keys of bind groups are made of these. */
  readonly id: number;
  readonly gpu: GPUBuffer;
  /** Bytes of the size class. */
  readonly capacity: number;
  /** Bytes asked for. */
  bytes: number;
  /** The last batch of commands that uses it, by its number. */
  usedIn: number;
}

const COPY_SRC = 4;
const COPY_DST = 8;
const STORAGE = 0x80;
let nextId = 0;

/** The buffers of one device, under a budget in bytes. */
export class Pool {
  private readonly device: GPUDevice;
  private readonly budget: number;
  private readonly counters: Counting;
  private readonly beforeDestroy: () => void;
  /** Bytes lent for other than tensors. */
  private lentBytes = 0;
  /**
   * Free buffers by size class, the oldest last and taken first: which one a step gets does not depend on the order in which
   * the step before gave them back, so that a repeated step finds its bind groups again.
   */
  private readonly free = new Map<number, GpuBuffer[]>();
  buffers = 0;
  bytes = 0;
  peakBytes = 0;
  reservedBytes = 0;

  /** @param beforeDestroy runs what is queued, takes back what was lent, and forgets what refers to buffers */
  constructor(device: GPUDevice, budget: number, counters: Counting, beforeDestroy: () => void) {
    this.device = device;
    this.budget = budget;
    this.counters = counters;
    this.beforeDestroy = beforeDestroy;
  }

  /** A buffer for a tensor. @throws OutOfMemoryError */
  take(bytes: number, label: string): GpuBuffer {
    const buffer = this.buffer(bytes, label);
    this.buffers++;
    this.bytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.bytes + this.lentBytes);
    return buffer;
  }

  give(buffer: GpuBuffer): void {
    this.buffers--;
    this.bytes -= buffer.bytes;
    this.putAway(buffer);
  }

  /** A buffer that is no tensor's. @throws OutOfMemoryError */
  lend(bytes: number, label: string): GpuBuffer {
    const buffer = this.buffer(bytes, label);
    this.lentBytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.bytes + this.lentBytes);
    return buffer;
  }

  takeBack(buffer: GpuBuffer): void {
    this.lentBytes -= buffer.bytes;
    this.putAway(buffer);
  }

  private buffer(bytes: number, label: string): GpuBuffer {
    const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
    const limit = Math.min(maxBufferSize, maxStorageBufferBindingSize);
    if (bytes > limit) {
      throw new OutOfMemoryError(`${label}: one buffer of ${bytes} bytes, and this device takes at most ${limit}`);
    }
    const capacity = Math.min(sizeClass(bytes), limit - (limit % 4)); // adapters give limits that no buffer can have
    const buffer = this.free.get(capacity)?.pop() ?? this.create(bytes, capacity, label);
    buffer.bytes = bytes;
    return buffer;
  }

  private putAway(buffer: GpuBuffer): void {
    const bucket = this.free.get(buffer.capacity) ?? [];
    this.free.set(buffer.capacity, bucket);
    bucket.splice(placeOf(buffer, bucket), 0, buffer);
  }

  /** Destroys the buffers that nobody uses. */
  trim(): void {
    this.beforeDestroy();
    for (const { gpu, capacity } of [...this.free.values()].flat()) {
      gpu.destroy();
      this.reservedBytes -= capacity;
    }
    this.free.clear();
    // Dawn reclaims destroyed buffers at the next submit, and at no other time.
    this.device.queue.submit([]);
  }

  private create(bytes: number, capacity: number, label: string): GpuBuffer {
    const isTooMuch = () => this.reservedBytes + capacity > this.budget;
    if (isTooMuch()) this.trim();
    if (isTooMuch() && freeUnreachable()) this.trim();
    if (isTooMuch()) {
      throw new OutOfMemoryError(
        `${label}: ${bytes} bytes asked for with ${this.reservedBytes} of ${this.budget} in use, want at most ${this.budget - this.reservedBytes} (a smaller batch, tidy, or a larger budget, where the device has more memory)`,
      );
    }
    const gpu = this.device.createBuffer({ label, size: capacity, usage: STORAGE | COPY_SRC | COPY_DST });
    this.reservedBytes += capacity;
    this.counters.buffers++;
    return { id: nextId++, gpu, capacity, bytes, usedIn: -1 };
  }
}

/** Where a buffer belongs in a bucket ordered from the newest to the oldest. */
function placeOf({ id }: GpuBuffer, bucket: readonly GpuBuffer[]): number {
  let [from, to] = [0, bucket.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (bucket[middle].id > id) from = middle + 1;
    else to = middle;
  }
  return from;
}

/** The next of eight sizes per power of two, from 256 bytes on: at most an eighth is wasted. */
export function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(8 - 3, Math.floor(Math.log2(bytes - 1)) - 3);
  return Math.ceil(bytes / step) * step;
}
