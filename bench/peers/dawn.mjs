// What libraries made for browsers look for before they use WebGPU, from npm's `webgpu`, with the same options as ours.
import { create, globals } from "webgpu";

/** Puts WebGPU where browsers have it. Returns the adapter's name. */
export async function installWebgpu() {
  Object.assign(globalThis, globals);
  const gpu = create(["enable-dawn-features=disable_workgroup_init"]);
  Object.defineProperty(globalThis, "navigator", {
    value: { gpu, userAgent: "Node", hardwareConcurrency: 1 },
    configurable: true,
    writable: true,
  });
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Error("there is no WebGPU adapter");
  return adapter.info.device || adapter.info.description;
}
