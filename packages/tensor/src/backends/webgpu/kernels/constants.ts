// Parameters that never change once they are packed. Bind groups say where they lie, so that no dispatch has to.

import type { Counting } from "../counters.ts";
import type { ParamsPlace } from "./bindGroups.ts";

/** Bind groups begin at multiples of it. */
const SLOT = 256;
const SLOTS = 256;
const [COPY_DST, UNIFORM] = [8, 0x40];

/** Keeps parameters, one slot after the other. Full buffers live as long as somebody holds constants in them. */
export class ConstantsStore {
  private readonly device: GPUDevice;
  private readonly counters: Counting;
  private readonly bytes = new Uint8Array(SLOT * SLOTS);
  private buffer: GPUBuffer | null = null;
  private used = 0;
  /** The slots that the device has. */
  private written = 0;
  private ids = 0;

  constructor(device: GPUDevice, counters: Counting) {
    this.device = device;
    this.counters = counters;
  }

  /** @param params at most 256 bytes */
  add(params: Uint8Array): ParamsPlace {
    if (this.used === SLOTS) {
      this.write();
      this.buffer = null;
    }
    if (!this.buffer) {
      this.buffer = this.device.createBuffer({ label: "constants", size: SLOT * SLOTS, usage: UNIFORM | COPY_DST });
      this.counters.buffers++;
      this.used = 0;
      this.written = 0;
    }
    const offset = SLOT * this.used++;
    this.bytes.set(params, offset);
    return { id: ++this.ids, buffer: this.buffer, offset };
  }

  /** Hands the device what was added: before the commands that read it are submitted. */
  write(): void {
    if (!this.buffer || this.written === this.used) return;
    const [from, to] = [SLOT * this.written, SLOT * this.used];
    this.device.queue.writeBuffer(this.buffer, from, this.bytes.buffer, from, to - from);
    this.written = this.used;
  }
}
