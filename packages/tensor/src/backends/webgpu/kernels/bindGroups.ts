// Bind groups by what they bind: creating one takes the time of six dispatches, so that a repeated step should create none.

import type { Counting } from "../counters.ts";
import type { GpuBuffer } from "../memory/pool.ts";
import { NumberMap } from "./numberMap.ts";
import type { Bindings } from "./pipelines.ts";

/** A storage binding: a pooled buffer from its element `base` on. */
export interface Place {
  readonly buffer: GpuBuffer;
  readonly base: number;
}

const MOST = 16384;

/** The bind groups over one buffer of parameters, which dispatches read at dynamic offsets. */
export class BindGroups {
  private readonly device: GPUDevice;
  private readonly params: GPUBuffer;
  private readonly counters: Counting;
  private readonly known = new NumberMap<GPUBindGroup>(MOST);

  constructor(device: GPUDevice, params: GPUBuffer, counters: Counting) {
    this.device = device;
    this.params = params;
    this.counters = counters;
  }

  get(label: string, bindings: Bindings, places: readonly Place[]): GPUBindGroup {
    this.known.begin();
    this.known.add(bindings.id);
    for (const { buffer, base } of places) {
      this.known.add(buffer.id);
      this.known.add(base);
    }
    let group = this.known.get();
    if (!group) {
      group = this.create(label, bindings, places);
      this.known.set(group);
    }
    return group;
  }

  /** Forgets all of them, since they keep destroyed buffers in memory. */
  clear(): void {
    this.known.clear();
  }

  private create(label: string, { layout, paramsBytes }: Bindings, places: readonly Place[]): GPUBindGroup {
    this.counters.bindGroups++;
    const params = paramsBytes > 0 ? [{ buffer: this.params, size: paramsBytes }] : [];
    const first = paramsBytes > 0 ? 0 : 1;
    const resources = [...params, ...places.map(({ buffer, base }) => ({ buffer: buffer.gpu, offset: 4 * base }))];
    return this.device.createBindGroup({
      label,
      layout,
      entries: resources.map((resource, at) => ({ binding: at + first, resource })),
    });
  }
}
