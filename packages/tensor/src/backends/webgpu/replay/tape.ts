// What was queued during a step, as data: dispatches over buffers that are named by the order in which they were allocated.

import type { DType } from "../../../shape.ts";
import type { Place } from "../kernels/bindGroups.ts";
import type { PreparedCall } from "../kernels/prepared.ts";
import { type GpuBuffer, sizeClass } from "../memory/pool.ts";

/** A binding: a buffer allocated during the step, by its number, or −1 for one that was there before. */
export interface NotedPlace extends Place {
  readonly transient: number;
}

/** One dispatch. */
export interface Noted {
  readonly op: string;
  readonly prepared: PreparedCall;
  /** The parameters as the kernel got them. */
  readonly params: Uint8Array<ArrayBuffer>;
  readonly places: readonly NotedPlace[];
}

/** A run: its dispatches from `first` on, or an upload. */
export interface NotedRun {
  readonly first: number;
  readonly calls: readonly PreparedCall[];
  readonly upload: { readonly transient: number; readonly dtype: DType; readonly data: ArrayLike<number> } | null;
}

/** A buffer allocated during the step. */
export interface Transient {
  readonly capacity: number;
  /** The first and last dispatch that binds it; −1 and −1 where none does. */
  first: number;
  last: number;
}

/** Notes what is queued. */
export class Tape {
  readonly dispatches: Noted[] = [];
  readonly runs: NotedRun[] = [];
  readonly transients: Transient[] = [];
  /** The transients in use now. */
  private readonly living = new Map<GpuBuffer, number>();

  took(buffer: GpuBuffer): void {
    this.living.set(buffer, this.transients.length);
    this.transients.push({ capacity: sizeClass(buffer.bytes), first: -1, last: -1 });
  }

  gave(buffer: GpuBuffer): void {
    this.living.delete(buffer);
  }

  uploaded(buffer: GpuBuffer, dtype: DType, data: ArrayLike<number>): void {
    const upload = { transient: this.transientOf(buffer), dtype, data };
    this.runs.push({ first: this.dispatches.length, calls: [], upload });
  }

  dispatched(op: string, prepared: PreparedCall, params: Uint8Array<ArrayBuffer>, places: readonly Place[]): void {
    const at = this.dispatches.length;
    const noted = places.map(({ buffer, base }): NotedPlace => {
      const transient = this.transientOf(buffer);
      if (transient >= 0) {
        const lifetime = this.transients[transient];
        if (lifetime.first < 0) lifetime.first = at;
        lifetime.last = at;
      }
      return { buffer, base, transient };
    });
    this.dispatches.push({ op, prepared, params, places: noted });
  }

  /** An op has run, whose dispatches are those from `first` on. */
  ran(first: number): void {
    this.runs.push({ first, calls: this.dispatches.slice(first).map(({ prepared }) => prepared), upload: null });
  }

  /** The number of a buffer in use that was allocated during the step; −1 for others. */
  transientOf(buffer: GpuBuffer): number {
    return this.living.get(buffer) ?? -1;
  }
}
