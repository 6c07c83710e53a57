// Buffers that results are read back through; small ones are kept, since a loss may be read after every step.

import type { Counting } from "../counters.ts";

const [MAP_READ, COPY_DST] = [1, 8];
const SMALL = 4096;
const MOST_KEPT = 16;

/** The staging buffers of one device. */
export class Stagings {
  private readonly device: GPUDevice;
  private readonly counters: Counting;
  private readonly free: GPUBuffer[] = [];

  constructor(device: GPUDevice, counters: Counting) {
    this.device = device;
    this.counters = counters;
  }

  /** One of at least so many bytes. */
  take(bytes: number): GPUBuffer {
    const kept = bytes <= SMALL ? this.free.pop() : undefined;
    if (kept) return kept;
    this.counters.buffers++;
    return this.device.createBuffer({ label: "download", size: Math.max(SMALL, bytes), usage: MAP_READ | COPY_DST });
  }

  /** Takes back a mapped one. */
  give(staging: GPUBuffer): void {
    staging.unmap();
    if (staging.size === SMALL && this.free.length < MOST_KEPT) this.free.push(staging);
    else staging.destroy();
  }
}
