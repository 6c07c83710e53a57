// Bind groups by what they bind: creating one takes the time of six dispatches, so that a repeated step should create none.

import type { Counting } from "./counters.ts";
import type { Bindings } from "./pipelines.ts";
import type { GpuBuffer } from "./pool.ts";
import { Trie } from "./trie.ts";

/** A storage binding: a pooled buffer from an offset in bytes on. */
export interface Place {
  readonly buffer: GpuBuffer;
  readonly offset: number;
}

const MOST = 16384;

/** The bind groups over one buffer of parameters, which dispatches read at dynamic offsets. */
export class BindGroups {
  private readonly device: GPUDevice;
  private readonly params: GPUBuffer;
  private readonly counters: Counting;
  private readonly known = new Trie<GPUBindGroup>();
  private count = 0;

  constructor(device: GPUDevice, params: GPUBuffer, counters: Counting) {
    this.device = device;
    this.params = params;
    this.counters = counters;
  }

  get(label: string, bindings: Bindings, places: readonly Place[]): GPUBindGroup {
    let node = this.known.at(bindings);
    // Offsets are multiples of 256 below 2⁴⁰, and most are 0, which leaves small integers as keys.
    for (const { buffer, offset } of places) node = node.at(offset === 0 ? buffer.id : buffer.id + offset / 2 ** 40);
    node.value ??= this.create(label, bindings, places);
    return node.value;
  }

  /** Forgets all of them, since they keep destroyed buffers in memory. */
  clear(): void {
    this.known.clear();
    this.count = 0;
  }

  private create(label: string, { layout, paramsBytes }: Bindings, places: readonly Place[]): GPUBindGroup {
    if (++this.count > MOST) this.clear();
    this.counters.bindGroups++;
    const params = paramsBytes > 0 ? [{ buffer: this.params, size: paramsBytes }] : [];
    const first = paramsBytes > 0 ? 0 : 1;
    const resources = [...params, ...places.map(({ buffer, offset }) => ({ buffer: buffer.gpu, offset }))];
    return this.device.createBindGroup({
      label,
      layout,
      entries: resources.map((resource, at) => ({ binding: at + first, resource })),
    });
  }
}
