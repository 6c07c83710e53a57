// Parameters that change from dispatch to dispatch, in one uniform buffer that is written when a batch of commands is handed over.

import type { KernelCall } from "../rule.ts";
import type { ParamsPlace } from "./bindGroups.ts";
import { writeField } from "./params.ts";
import type { PreparedCall } from "./prepared.ts";

const SLOT = 256;
const [COPY_DST, UNIFORM] = [8, 0x40];

export class ChangingParams {
  /** Bind groups find them here, and dispatches by an offset of their own. */
  readonly place: ParamsPlace;
  private readonly device: GPUDevice;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  private readonly view: DataView;
  private used = 0;

  /** @param most the number of dispatches in a batch */
  constructor(device: GPUDevice, most: number) {
    this.device = device;
    this.bytes = new Uint8Array(SLOT * most);
    this.view = new DataView(this.bytes.buffer);
    const buffer = device.createBuffer({ label: "params", size: SLOT * most, usage: UNIFORM | COPY_DST });
    this.place = { id: 0, buffer, offset: 0 };
  }

  /** Packs the parameters of a dispatch. @returns their offset in bytes */
  pack({ params, changing }: PreparedCall, given: KernelCall["params"] = {}): number {
    const offset = this.used++ * SLOT;
    this.bytes.set(params, offset);
    for (const field of changing) writeField(this.view, offset, field, given[field.name]);
    return offset;
  }

  /** A copy of what was packed at an offset. */
  packedAt(offset: number, length: number): Uint8Array<ArrayBuffer> {
    return this.bytes.slice(offset, offset + length);
  }

  /** Hands the device those of a batch, and begins another. */
  write(): void {
    if (this.used > 0) this.device.queue.writeBuffer(this.place.buffer, 0, this.bytes.buffer, 0, this.used * SLOT);
    this.used = 0;
  }
}
