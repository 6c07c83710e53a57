// Bind groups by what they bind: creating one takes the time of six dispatches, so that a repeated step should create none.

import type { Counting } from "../counters.ts";
import type { GpuBuffer } from "../memory/pool.ts";
import type { Constants } from "./constants.ts";
import { NumberMap } from "./numberMap.ts";
import type { Bindings } from "./pipelines.ts";

/** A storage binding: a pooled buffer from its element `base` on. */
export interface Place {
  readonly buffer: GpuBuffer;
  readonly base: number;
}

const MOST = 16384;

/** The bind groups over one buffer of parameters that change, which dispatches read at dynamic offsets, and over constants. */
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

  /** @param constants the parameters of a kernel whose parameters do not change; null for others */
  get(label: string, bindings: Bindings, constants: Constants | null, places: readonly Place[]): GPUBindGroup {
    this.known.begin();
    this.known.add(bindings.id);
    this.known.add(constants?.id ?? 0);
    for (const { buffer, base } of places) {
      this.known.add(buffer.id);
      this.known.add(base);
    }
    let group = this.known.get();
    if (!group) {
      group = this.create(label, bindings, constants, places);
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
    { layout, paramsBytes }: Bindings,
    constants: Constants | null,
    places: readonly Place[],
  ): GPUBindGroup {
    this.counters.bindGroups++;
    const { buffer, offset } = constants ?? { buffer: this.params, offset: 0 };
    const params = paramsBytes > 0 ? [{ buffer, offset, size: paramsBytes }] : [];
    const first = paramsBytes > 0 ? 0 : 1;
    const resources = [...params, ...places.map(({ buffer, base }) => ({ buffer: buffer.gpu, offset: 4 * base }))];
    return this.device.createBindGroup({
      label,
      layout,
      entries: resources.map((resource, at) => ({ binding: at + first, resource })),
    });
  }
}
