// Where tensors lie in the WebAssembly memory: blocks by size class, reused when free, under a budget. Knows no tensor.

import { OutOfMemoryError } from "../../backend.ts";
import { freeUnreachable } from "../../memory/unscoped.ts";

/** A part of the memory. */
export interface Block {
  /** In bytes from the start of the memory; a multiple of 64. */
  readonly address: number;
  /** Bytes of the size class. */
  readonly capacity: number;
  /** Bytes asked for. */
  readonly bytes: number;
}

const PAGE = 65536;
/** Kernels may read a vector past the end of a block. */
const MARGIN = 64;

/** All of a memory from an address on. */
export class Heap {
  private readonly memory: WebAssembly.Memory;
  private readonly budget: number;
  private readonly advice: string;
  private readonly start: number;
  private readonly bins = new Map<number, number[]>();
  private top: number;
  buffers = 0;
  bytes = 0;
  peakBytes = 0;

  /** @param start where the first block lies; `budget`, and what the memory holds at most, count from there */
  constructor(memory: WebAssembly.Memory, start: number, budget: number, most: number) {
    this.memory = memory;
    this.start = start;
    this.top = start;
    this.budget = Math.min(budget, most);
    const room = budget < most ? `, or a larger budget, of at most ${most}` : `; WebAssembly has no more memory`;
    this.advice = `a smaller batch, tidy, or awaiting a reading now and then${room}`;
  }

  /** Bytes of blocks in use and free ones. */
  get reservedBytes(): number {
    return this.top - this.start;
  }

  /** @throws OutOfMemoryError naming what is asked for, in use and allowed */
  take(bytes: number, label: string): Block {
    const capacity = sizeClass(bytes);
    let address = this.find(capacity);
    if (address === undefined && freeUnreachable()) address = this.find(capacity);
    if (address === undefined) {
      throw new OutOfMemoryError(
        `${label}: ${bytes} bytes asked for with ${this.bytes} of ${this.budget} in use, want at most ${Math.max(0, this.budget - this.bytes)} in one piece (${this.advice})`,
      );
    }
    this.buffers++;
    this.bytes += bytes;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    return { address, capacity, bytes };
  }

  give({ address, capacity, bytes }: Block): void {
    this.buffers--;
    this.bytes -= bytes;
    this.keep(address, capacity);
  }

  private find(capacity: number): number | undefined {
    return this.bins.get(capacity)?.pop() ?? this.extend(capacity) ?? this.carve(capacity);
  }

  private keep(address: number, capacity: number): void {
    const bin = this.bins.get(capacity);
    if (bin) bin.push(address);
    else this.bins.set(capacity, [address]);
  }

  /** A new block at the top; undefined where the budget or the memory ends. */
  private extend(capacity: number): number | undefined {
    const end = this.top + capacity;
    if (end - this.start > this.budget) return undefined;
    const missing = end + MARGIN - this.memory.buffer.byteLength;
    if (missing > 0) {
      try {
        // In steps of an eighth, since other threads notice each.
        const pages = Math.ceil(missing / PAGE);
        this.grow(Math.max(pages, Math.min(this.memory.buffer.byteLength / PAGE / 8, 1024)), pages);
      } catch {
        return undefined;
      }
    }
    const address = this.top;
    this.top = end;
    return address;
  }

  private grow(wanted: number, needed: number): void {
    try {
      this.memory.grow(Math.ceil(wanted));
    } catch {
      this.memory.grow(needed);
    }
  }

  /** Joins free blocks that touch, and cuts the smallest that suffices. */
  private carve(capacity: number): number | undefined {
    const free = [...this.bins].flatMap(([size, addresses]) => addresses.map((address) => ({ address, size })));
    const joined: { address: number; size: number }[] = [];
    for (const block of free.sort((a, b) => a.address - b.address)) {
      const last = joined.at(-1);
      if (last && last.address + last.size === block.address) last.size += block.size;
      else joined.push(block);
    }
    const last = joined.at(-1);
    if (last && last.address + last.size === this.top) {
      this.top = last.address;
      joined.pop();
    }
    this.bins.clear();
    const best = joined.filter(({ size }) => size >= capacity).sort((a, b) => a.size - b.size)[0];
    for (const { address, size } of joined) if (address !== best?.address) this.keep(address, size);
    if (!best) return this.extend(capacity);
    if (best.size > capacity) this.keep(best.address + capacity, best.size - capacity);
    return best.address;
  }
}

/** The next of eight sizes per power of two, from 256 bytes on: multiples of 64, at most an eighth wasted. */
function sizeClass(bytes: number): number {
  if (bytes <= 256) return 256;
  const step = 2 ** Math.max(6, Math.floor(Math.log2(bytes - 1)) - 3);
  return Math.ceil(bytes / step) * step;
}
