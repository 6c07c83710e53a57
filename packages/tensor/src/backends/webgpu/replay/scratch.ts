// What replays of one device keep their transients in. They share it: a replay leaves nothing there that another would need.

import type { GpuBuffer, Pool } from "../memory/pool.ts";

/** Buffers that all replays of a device take the same of, as long as one of them holds any. */
export class Scratch {
  private readonly pool: Pool;
  private readonly buffers: GpuBuffer[] = [];
  private isTaking = false;
  /** What those that hold buffers have to be told when they lose them. */
  private readonly holders = new Set<() => void>();

  constructor(pool: Pool) {
    this.pool = pool;
  }

  /**
   * A buffer for each size, no two the same.
   * @param sizes the largest first
   * @param lose called once, when the buffers are to be taken again before the next use
   * @throws OutOfMemoryError
   */
  take(sizes: readonly number[], lose: () => void): GpuBuffer[] {
    const before = this.buffers.length;
    this.isTaking = true;
    const free = [...this.buffers].sort((a, b) => a.capacity - b.capacity);
    try {
      const taken = sizes.map((size) => {
        const at = free.findIndex(({ capacity }) => capacity >= size);
        return at === -1 ? this.add(size) : free.splice(at, 1)[0];
      });
      this.holders.add(lose);
      return taken;
    } catch (error) {
      for (const buffer of this.buffers.splice(before)) this.pool.takeBack(buffer);
      throw error;
    } finally {
      this.isTaking = false;
    }
  }

  /** Lets go of what was taken. */
  release(lose: () => void): void {
    this.holders.delete(lose);
    if (this.holders.size === 0) this.giveBack();
  }

  /** Takes the buffers from all who hold them, unless some are just being taken: others need the memory. */
  clear(): void {
    if (this.isTaking) return;
    for (const lose of this.holders) lose();
    this.holders.clear();
    this.giveBack();
  }

  private add(size: number): GpuBuffer {
    const buffer = this.pool.lend(size, "capture");
    this.buffers.push(buffer);
    return buffer;
  }

  private giveBack(): void {
    for (const buffer of this.buffers.splice(0)) this.pool.takeBack(buffer);
  }
}
