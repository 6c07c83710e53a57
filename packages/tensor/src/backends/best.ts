// Choosing a backend: a GPU where there is one, else WebAssembly, else the reference.

import { expectOptions } from "../argument.ts";
import type { Backend } from "../backend.ts";
import { cpu } from "./cpu/cpu.ts";
import { wasm } from "./wasm/wasm.ts";
import { describeAdapter, findAdapter, isSoftwareAdapter } from "./webgpu/device/device.ts";
import { webgpu } from "./webgpu/webgpu.ts";

/**
 * The fastest backend here: WebGPU where a hardware adapter is found, else WebAssembly on all cores, else the slow reference.
 * Software adapters are never chosen: WebAssembly is ten times as fast.
 * @param options onChoice: told the backend and the reason, in one line
 */
export async function bestBackend(options: { onChoice?: (reason: string) => void } = {}): Promise<Backend> {
  expectOptions("bestBackend", options);
  const { onChoice } = options;
  const adapter = await findAdapter();
  const isHardware = typeof adapter !== "string" && !isSoftwareAdapter(adapter);
  if (isHardware) {
    const backend = await webgpu({ adapter });
    onChoice?.(`${backend.name} (a hardware WebGPU adapter)`);
    return backend;
  }
  const noGpu =
    typeof adapter === "string"
      ? `no GPU: ${adapter}`
      : `no GPU: the only WebGPU adapter is ${describeAdapter(adapter)}, which computes on the CPU`;
  try {
    const backend = await wasm();
    onChoice?.(`${backend.name} (${noGpu})`);
    return backend;
  } catch (error) {
    const backend = cpu();
    onChoice?.(`${backend.name} (${noGpu}; ${error instanceof Error ? error.message : error})`);
    return backend;
  }
}
