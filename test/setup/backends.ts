// The backends that a test runs on, each opened by the test that wants it.
import { type Backend, cpu, wasm, webgpu } from "@pkg/tensor";
import { gpuAvailable } from "./gpu.ts";

export const openers: readonly {
  readonly name: string;
  readonly open: () => Promise<Backend>;
  readonly skip: boolean;
}[] = [
  { name: "cpu", open: async () => cpu(), skip: false },
  { name: "wasm", open: () => wasm({ threads: 1 }), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];
