// Choosing a backend: a GPU where there is one, else the CPU.

import type { Backend } from "../backend.ts";
import { cpu } from "./cpu/cpu.ts";
import { describeAdapter, findAdapter, isSoftwareAdapter } from "./webgpu/device.ts";
import { webgpu } from "./webgpu/webgpu.ts";

/**
 * The fastest backend here: WebGPU where a hardware adapter is found, else the CPU. Software adapters are never chosen.
 * @param onChoice told the backend and the reason, in one line
 */
export async function bestBackend({ onChoice }: { onChoice?: (reason: string) => void } = {}): Promise<Backend> {
  const adapter = await findAdapter();
  const hardware = typeof adapter !== "string" && !isSoftwareAdapter(adapter);
  const backend = hardware ? await webgpu({ adapter }) : cpu();
  const reason = hardware
    ? "a hardware WebGPU adapter"
    : typeof adapter === "string"
      ? `no GPU: ${adapter}`
      : `no GPU: the only WebGPU adapter is ${describeAdapter(adapter)}, which computes on the CPU`;
  onChoice?.(`${backend.name} (${reason})`);
  return backend;
}
