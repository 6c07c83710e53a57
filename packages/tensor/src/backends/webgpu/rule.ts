// What an op tells the WebGPU backend: its kernel calls as data, and which inputs they read as they lie. Types, and what rules share.

import type { Temporary, View } from "../../op.ts";
import type { DType, Layout } from "../../shape.ts";

/** How an op is computed on WebGPU. */
export interface WebgpuRule<Attrs> {
  /** The dispatches, one after another. */
  calls(call: GpuCall<Attrs>): readonly KernelCall[];
  /**
   * Whether the kernels read input `index` by its strides and offset. Other inputs come row-major with offset 0, copied if need
   * be. Default: none.
   */
  takes?(input: Layout, index: number, attrs: Attrs): boolean;
}

/** One dispatch, as data. */
export interface KernelCall {
  /** WGSL text; its `@binding(0)` is `params` when it has parameters. */
  readonly kernel: string;
  /** New values for the kernel's `const`, `alias` and one-line `fn` declarations, by name. */
  readonly constants?: Readonly<Record<string, string | number | boolean>>;
  /**
   * WGSL text behind the kernel's: files of kernels/ without an entry point. It brings functions that one-line `fn`s call, and those for
   * which the kernel has one-line declarations by the same names.
   */
  readonly library?: string;
  /** The fields of the kernel's `struct Params`, by name: every one, and no other. */
  readonly params?: Readonly<Record<string, number | readonly number[]>>;
  /** The storage bindings in the order of their numbers. */
  readonly bindings: readonly (View | Temporary)[];
  /** Threads, of which the kernel's WGSL says how many make a workgroup; or, for kernels whose workgroups work together, workgroups. */
  readonly grid: { readonly threads: number } | { readonly workgroups: number };
}

/** The operands of one run and what may be used to compute it. */
export interface GpuCall<Attrs> {
  /** The inputs, as `takes` lets them lie. */
  readonly inputs: readonly View[];
  /** The outputs, row-major. */
  readonly outputs: readonly View[];
  /** The op's attributes. */
  readonly attrs: Attrs;
  /** What the device can do. */
  readonly target: GpuTarget;
  /** Scratch for `size` elements of four bytes. */
  temporary(size: number): Temporary;
}

/** What a kernel may count on. */
export interface GpuTarget {
  /** `direct` for software adapters (no workgroup memory), `tiled` for GPUs. */
  readonly profile: "direct" | "tiled";
  /** Bytes of workgroup memory. */
  readonly workgroupMemory: number;
  /** The most threads of a workgroup. */
  readonly maxInvocations: number;
  /** Whether products round their operands to float16. */
  readonly half?: boolean;
  /** The matrices, m × k and k × n in float16, that a subgroup of so many threads multiplies at once, adding up in float32. */
  readonly matrix?: { readonly m: number; readonly n: number; readonly k: number; readonly subgroup: number };
  /** The way of making calls that was found to be the fastest on this device, if it was timed. */
  readonly timed?: <Way>(choice: Choice<Way>) => Way | null;
}

/** Ways to make the same calls, between which `tune` chooses by timing them. A way is plain data. */
export interface Choice<Way> {
  /** Choices of one name share what is found: "matmul 1 × [64, 64] × [64, 64], 1 run". */
  readonly name: string;
  /** Changes when the kernels or the ways do, which makes what was found before worthless. */
  readonly version: string;
  /** The ways to try first, the one that is expected to be fastest foremost; at least one. */
  readonly likely: readonly Way[];
  /** Each is followed from the fastest way as long as it leads to faster ones; null where it ends. */
  readonly directions: readonly ((way: Way) => Way | null)[];
  /** A way in a few numbers, to store it. */
  encode(way: Way): readonly number[];
  /** The way of such numbers; null where there is none for this choice. */
  decode(numbers: readonly number[]): Way | null;
  /** The calls, made in another way. */
  calls(way: Way, temporary: GpuCall<unknown>["temporary"]): readonly KernelCall[];
}

/** WGSL's name of an element type in storage. */
export const WGSL_TYPE: Readonly<Record<DType, string>> = { float32: "f32", int32: "i32", uint32: "u32", bool: "u32" };

/** The workgroup size of a kernel; null where it is neither a number nor a `const` that is one. */
export function workgroupSize(wgsl: string): number | null {
  const size = /@workgroup_size\((\w+)\)/.exec(wgsl)?.[1] ?? "";
  const number = /^\d/.test(size) ? size : (new RegExp(`^const ${size} = (\\d+)u?;`, "m").exec(wgsl)?.[1] ?? "");
  return number === "" ? null : Number.parseInt(number, 10);
}
