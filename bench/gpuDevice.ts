// The WebGPU backend with its device at hand, and what is asked of that device in a stretch of work.
import { type Backend, webgpu } from "@pkg/tensor";
import { findAdapter } from "../packages/tensor/src/backends/webgpu/device.ts";

export interface OpenedGpu {
  readonly backend: Backend;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
}

/** Calls of a device. */
export interface DeviceCalls {
  readonly dispatches: number;
  readonly submits: number;
  readonly bindGroups: number;
  readonly pipelines: number;
  readonly buffers: number;
}

/** @throws Error where there is no WebGPU */
export async function openGpu(): Promise<OpenedGpu> {
  const adapter = await findAdapter();
  if (typeof adapter === "string") throw new Error(`webgpu: ${adapter}`);
  const request = adapter.requestDevice.bind(adapter);
  const opened: GPUDevice[] = [];
  adapter.requestDevice = async (descriptor) => {
    const device = await request(descriptor);
    opened.push(device);
    return device;
  };
  const backend = await webgpu({ adapter });
  return { backend, adapter, device: opened[0] };
}

/** Counts what a piece of work asks of a device. */
export function countCalls(device: GPUDevice, work: () => void): DeviceCalls {
  const counts = { dispatches: 0, submits: 0, bindGroups: 0, pipelines: 0, buffers: 0 };
  const restore: (() => void)[] = [];
  const watch = <Owner extends object, Name extends keyof Owner>(
    owner: Owner,
    name: Name,
    seen: (result: unknown) => void,
  ) => {
    const own = Object.getOwnPropertyDescriptor(owner, name);
    const method = owner[name] as (...args: unknown[]) => unknown; // the names given below are methods
    Object.defineProperty(owner, name, {
      configurable: true,
      value: (...args: unknown[]) => {
        const result = method.apply(owner, args);
        seen(result);
        return result;
      },
    });
    restore.push(() => {
      if (own) Object.defineProperty(owner, name, own);
      else delete owner[name];
    });
  };
  watch(device.queue, "submit", () => counts.submits++);
  watch(device, "createBindGroup", () => counts.bindGroups++);
  watch(device, "createComputePipeline", () => counts.pipelines++);
  watch(device, "createBuffer", () => counts.buffers++);
  watch(device, "createCommandEncoder", (encoder) => {
    watch(encoder as GPUCommandEncoder, "beginComputePass", (pass) => {
      watch(pass as GPUComputePassEncoder, "dispatchWorkgroups", () => counts.dispatches++);
    });
  });
  try {
    work();
  } finally {
    for (const undo of restore.reverse()) undo();
  }
  return counts;
}
