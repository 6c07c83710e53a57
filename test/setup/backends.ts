// The backends that a test runs on, each opened by the test that wants it.
import { type Backend, cpu, wasm, webgpu } from "@pkg/tensor";
import { gpuAvailable } from "./gpu.ts";

export const openers: readonly {
  readonly name: string;
  readonly open: (options?: { readonly budget?: number }) => Promise<Backend>;
  readonly skip: boolean;
}[] = [
  { name: "cpu", open: async (options) => cpu(options), skip: false },
  { name: "wasm", open: (options) => wasm({ ...options, threads: 1 }), skip: false },
  { name: "webgpu", open: webgpu, skip: !gpuAvailable },
];
