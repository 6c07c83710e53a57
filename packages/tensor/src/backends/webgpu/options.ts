// What can be chosen of a WebGPU backend.

import type { PlatformAdapter, PlatformDevice } from "./device/platformTypes.ts";
import type { GpuTarget } from "./rule.ts";

/** Seconds. Software adapters take minutes for the first step of a large network, most of which they compile. */
export const TIMEOUT = 300;

/** Options of the `webgpu` backend. */
export interface WebgpuOptions {
  /** The device to use. Default: one is requested, with the adapter's limits. */
  readonly device?: PlatformDevice;
  /** The adapter to request the device from. */
  readonly adapter?: PlatformAdapter;
  /** The bytes it may hold. Default 4 GiB on software adapters, 64 GiB on others: WebGPU does not tell a GPU's memory. */
  readonly budget?: number;
  /** Which shape of the hot kernels to run. By default `direct` on software adapters, else `tiled`. */
  readonly profile?: GpuTarget["profile"];
  /**
   * Options of Dawn's `create` in Node, for the first backend of a process. Default ["enable-dawn-features=disable_workgroup_init"]:
   * kernels write workgroup memory before they read it.
   */
  readonly toggles?: readonly string[];
  /**
   * "mixed" rounds the operands of matrix products and convolutions to float16 and adds up in float32; all tensors stay float32. An
   * operand from 65520 on becomes infinite: train with `lossScaling` of adamW. Subgroup matrices are used if the device has
   * chromium-experimental-subgroup-matrix, in Node with the toggles allow_unsafe_apis and, on NVIDIA's, vulkan_enable_f16_on_nvidia.
   * Default "float32".
   */
  readonly precision?: "float32" | "mixed";
  /**
   * Uses the tilings of products that `tune` found on this adapter before: true for those in the user's cache, or the file that holds
   * them (in browsers a name). Default false: the choice is fixed, and with it the order in which sums are added.
   */
  readonly tuned?: boolean | string;
  /**
   * Seconds that the device may go without ending anything while a result is awaited: then what waits rejects with a DeviceStalledError.
   * Infinity for ever. Default 300.
   */
  readonly timeout?: number;
  /** Whether captured steps are replayed (see `capture`). Default true; false runs each op of each step. */
  readonly capture?: boolean;
  /** Fills new buffers with NaN, so that an element that a kernel forgot shows. Default false. */
  readonly poison?: boolean;
}
