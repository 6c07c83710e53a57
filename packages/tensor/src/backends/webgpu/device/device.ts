// Finding an adapter and a device, in browsers and in Node; what the backend needs to know about them.

import { type NodeProcess, nodeProcess } from "../../../host/host.ts";
import type { GpuTarget } from "../rule.ts";
import { noAdapterHint, noWebgpuHint } from "./hints.ts";

/** Where WebGPU comes from: the browser, or Dawn's bindings. */
interface Dawn {
  create(options: string[]): GPU;
}

/** A device and what is known of its adapter. */
export interface Device {
  readonly device: GPUDevice;
  readonly description: string;
  /** Tells adapters apart: vendor, architecture, device and description. */
  readonly identity: string;
  /** No GPU stands behind it. */
  readonly isSoftware: boolean;
  /** The adapter's: Dawn in Node (webgpu 0.6.2) leaves the subgroup matrices out of a device's own. */
  readonly info: GPUAdapterInfo;
}

const WANTED_LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupStorageSize",
  "maxStorageBuffersPerShaderStage",
] as const;

/** Subgroup matrices; Dawn has the feature only with the toggle allow_unsafe_apis. */
const MATRICES = "chromium-experimental-subgroup-matrix";

// Dawn aborts the process when the object that create() returns is collected while its devices live.
let dawn: GPU | undefined;

// Kernels write workgroup memory before they read it. Clearing it as well makes SwiftShader ten times slower to compile them.
const TOGGLES = ["enable-dawn-features=disable_workgroup_init"];

/** The platform's `GPU`, or why there is none. In Node it is made once; `toggles` count at that first time only. */
async function platformGpu(toggles: readonly string[] = TOGGLES): Promise<GPU | string> {
  if (typeof navigator !== "undefined" && navigator.gpu) return navigator.gpu;
  if (dawn) return dawn;
  const process = nodeProcess();
  if (!process) return noWebgpuHint({ userAgent: userAgent(), isSecureContext: globalThis.isSecureContext ?? true });
  if (!hasVulkanLoader(process))
    return "there is no Vulkan loader, want libvulkan.so.1: of the GPU's driver, or Debian's libvulkan1";
  try {
    const name = "webgpu"; // not a literal, so that bundlers for browsers leave it alone
    const { create } = (await import(/* @vite-ignore */ name)) as Dawn; // the package declares its types as globals
    dawn ??= create([...toggles]); // another call may have made it during the import
    return dawn;
  } catch (error) {
    return `the npm package webgpu cannot be loaded (${error instanceof Error ? error.message.split("\n", 1)[0] : error}), want it beside @pkg/tensor: npm install webgpu`;
  }
}

/** Whether Dawn will find Vulkan; asked beforehand, since Dawn prints a warning where it does not. */
function hasVulkanLoader(process: NodeProcess): boolean {
  if (process.platform !== "linux") return true;
  try {
    process.dlopen({ exports: {} }, "libvulkan.so.1");
  } catch (error) {
    // A library that is found, but is no module of Node's, is another error.
    return !String(error).includes("cannot open shared object file");
  }
  return true;
}

/** An adapter, or why there is none. */
export async function findAdapter(toggles?: readonly string[]): Promise<GPUAdapter | string> {
  const gpu = await platformGpu(toggles);
  if (typeof gpu === "string") return gpu;
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (adapter) return adapter;
  return nodeProcess()
    ? "WebGPU finds no adapter, want a GPU with a driver for Vulkan, Metal or Direct3D 12 (Debian's mesa-vulkan-drivers for AMD and Intel)"
    : noAdapterHint({ userAgent: userAgent() });
}

function userAgent(): string {
  return globalThis.navigator?.userAgent ?? "";
}

/** Whether the adapter computes on the CPU. */
export function isSoftwareAdapter({ info }: GPUAdapter): boolean {
  return (
    info.isFallbackAdapter ||
    /swiftshader|llvmpipe|software/i.test(`${info.architecture} ${info.device} ${info.description}`)
  );
}

/** What to call an adapter: "NVIDIA H100 80GB HBM3 (nvidia hopper)". */
export function describeAdapter({ info }: GPUAdapter): string {
  const { vendor, architecture, device, description } = info;
  const maker = [vendor, architecture].filter(Boolean).join(" ") || "unknown vendor";
  return `${device || description || "adapter"} (${maker}${device && description ? `, ${description}` : ""})`;
}

/** A device with the adapter's own limits rather than the low defaults. */
export async function openDevice(adapter: GPUAdapter): Promise<Device> {
  const features = ["timestamp-query", "shader-f16", "subgroups", MATRICES].filter((name) =>
    adapter.features.has(name),
  );
  const device = await adapter.requestDevice({
    requiredFeatures: features as GPUFeatureName[], // names newer than the type definitions
    requiredLimits: Object.fromEntries(WANTED_LIMITS.map((name) => [name, adapter.limits[name]])),
  });
  return {
    device,
    description: describeAdapter(adapter),
    identity: identify(adapter.info),
    isSoftware: isSoftwareAdapter(adapter),
    info: adapter.info,
  };
}

/** What is known of a device that somebody else opened. */
export function givenDevice(device: GPUDevice): Device {
  const { adapterInfo: info } = device;
  return { device, description: "a given device", identity: identify(info), isSoftware: false, info };
}

function identify({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  return [vendor, architecture, device, description].join(" | ");
}

/** What kernels may count on. @param profile by default `direct` on software adapters, else `tiled` */
export function targetOf(
  { device, isSoftware, info }: Device,
  profile: GpuTarget["profile"] = isSoftware ? "direct" : "tiled",
  half = false,
): GpuTarget {
  const { limits } = device;
  return {
    profile,
    workgroupMemory: limits.maxComputeWorkgroupStorageSize,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    half,
    matrix: half ? matrixUnit(device.features, info) : undefined,
  };
}

/** What the types of WebGPU do not know yet. */
interface MatrixInfo {
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly M: number;
    readonly N: number;
    readonly K: number;
    readonly componentType: string;
    readonly resultComponentType: string;
  }>;
}

/** The largest matrices in float16 with sums in float32 that the device multiplies; only where all subgroups have one size. */
export function matrixUnit(
  features: { has(name: string): boolean },
  { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [] }: MatrixInfo,
): GpuTarget["matrix"] {
  if (![MATRICES, "shader-f16", "subgroups"].every((name) => features.has(name))) return undefined;
  if (subgroupMinSize === undefined || subgroupMinSize !== subgroupMaxSize) return undefined;
  const [best] = [...subgroupMatrixConfigs]
    .filter((one) => one.componentType === "f16" && one.resultComponentType === "f32")
    .sort((one, other) => other.M * other.N * other.K - one.M * one.N * one.K);
  return best && { m: best.M, n: best.N, k: best.K, subgroup: subgroupMinSize };
}
