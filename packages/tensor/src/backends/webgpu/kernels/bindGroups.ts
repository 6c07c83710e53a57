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

/** Where parameters lie in a uniform buffer. */
export interface ParamsPlace {
  /** Distinct for each place that bind groups may have at a time. */
  readonly id: number;
  readonly buffer: GPUBuffer;
  /** In bytes. Dispatches of dynamic kernels add one of their own. */
  readonly offset: number;
}

const MOST = 16384;

/** The bind groups of a device. */
export class BindGroups {
  private readonly device: GPUDevice;
  private readonly counters: Counting;
  private readonly known = new NumberMap<GPUBindGroup>(MOST);

  constructor(device: GPUDevice, counters: Counting) {
    this.device = device;
    this.counters = counters;
  }

  /** @param params the kernel's; null for one without */
  get(label: string, bindings: Bindings, params: ParamsPlace | null, places: readonly Place[]): GPUBindGroup {
    this.known.begin();
    this.known.add(bindings.id);
    this.known.add(params?.id ?? 0);
    for (const { buffer, base } of places) {
      this.known.add(buffer.id);
      this.known.add(base);
    }
    let group = this.known.get();
    if (!group) {
      group = this.create(label, bindings, params, places);
      this.known.set(group);
    }
    return group;
  }

  /** Forgets all of them, since they keep destroyed buffers in memory. */
  clear(): void {
    this.known.clear();
  }

  private create(
    label: string,
    { layout, paramsBytes: size }: Bindings,
    params: ParamsPlace | null,
    places: readonly Place[],
  ): GPUBindGroup {
    this.counters.bindGroups++;
    const resources = places.map(({ buffer, base }) => ({ buffer: buffer.gpu, offset: 4 * base }));
    const entries = resources.map((resource, at): GPUBindGroupEntry => ({ binding: at + 1, resource }));
    if (params) entries.unshift({ binding: 0, resource: { buffer: params.buffer, offset: params.offset, size } });
    return this.device.createBindGroup({ label, layout, entries });
  }
}
