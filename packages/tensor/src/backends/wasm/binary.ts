// The kernels' WebAssembly module: which variant this engine can run, compiled for a memory with or without sharing.

import { relaxed, simd } from "#kernels";
import { nodeProcess } from "../../host/host.ts";

export interface Kernels {
  readonly module: WebAssembly.Module;
  /** Whether products and sums are fused. */
  readonly fused: boolean;
}

// A module whose one function is f32x4.relaxed_madd, and one that is f32x4.add.
const RELAXED = "AGFzbQEAAAABCAFgA3t7ewF7AwIBAAoNAQsAIAAgASAC/YUCCw==";
const SIMD = "AGFzbQEAAAABBwFgAnt7AXsDAgEACgsBCQAgACAB/eQBCw==";

/**
 * Compiles the kernels.
 * @param shared whether they import a shared memory
 * @throws Error where WebAssembly SIMD is missing
 */
export async function loadKernels({ fused, shared }: { fused: boolean; shared: boolean }): Promise<Kernels> {
  if (!WebAssembly.validate(decode(SIMD)))
    throw new Error("wasm: this engine has no WebAssembly SIMD, want one with it");
  const canFuse = fused && hasRelaxedSimd();
  const bytes = await gunzip(decode(canFuse ? relaxed : simd));
  if (!shared) unshare(bytes);
  return { module: await WebAssembly.compile(bytes), fused: canFuse };
}

/** Node 20 has relaxed SIMD behind a flag, which also counts for the workers it starts from then on. */
function hasRelaxedSimd(): boolean {
  const probe = decode(RELAXED);
  if (WebAssembly.validate(probe)) return true;
  if (!nodeProcess()?.version.startsWith("v20.")) return false;
  nodeProcess()?.getBuiltinModule("node:v8").setFlagsFromString("--experimental-wasm-relaxed-simd");
  return WebAssembly.validate(probe);
}

/** Turns the import of a shared memory into that of a plain one: a flag of its limits, the same otherwise. */
function unshare(bytes: Uint8Array): void {
  const name = new TextEncoder().encode("memory");
  const at = bytes.findIndex((_, i) => name.every((byte, k) => bytes[i + k] === byte));
  const flags = at + name.length + 1; // a byte says that it is a memory
  if (at < 0 || bytes[flags] !== 3) throw new Error("wasm: the kernels import no shared memory, want one to change");
  bytes[flags] = 1;
}

function decode(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

async function gunzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
