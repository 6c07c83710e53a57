// The WebGPU backend with its adapter and its device at hand.
import { ForeseenError } from "@pkg/command";
import { type WebgpuBackend, type WebgpuOptions, webgpu } from "@pkg/tensor";
import { findAdapter } from "../packages/tensor/src/backends/webgpu/device/device.ts";

export interface OpenedGpu {
  readonly backend: WebgpuBackend;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
}

/** @throws ForeseenError where there is no WebGPU */
export async function openGpu({
  toggles,
  ...options
}: Pick<WebgpuOptions, "precision" | "toggles"> = {}): Promise<OpenedGpu> {
  const adapter = await findAdapter(toggles);
  if (typeof adapter === "string") throw new ForeseenError(`webgpu: ${adapter}`);
  const request = adapter.requestDevice.bind(adapter);
  const opened: GPUDevice[] = [];
  adapter.requestDevice = async (descriptor) => {
    const device = await request(descriptor);
    opened.push(device);
    return device;
  };
  const backend = await webgpu({ ...options, adapter });
  return { backend, adapter, device: opened[0] };
}
