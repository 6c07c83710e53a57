// What an op tells the WebAssembly backend: its kernel calls as data, and which inputs they read as they lie. Types, and what rules share.

import type { Temporary, View } from "../../op.ts";
import type { Layout } from "../../shape.ts";

/** How an op is computed in WebAssembly. */
export interface WasmRule<Attrs> {
  /** The calls, one after another; null for operands that no kernel takes, which the op's reference computes. */
  calls(operands: WasmOperands<Attrs>): readonly WasmCall[] | null;
  /**
   * Whether the kernels, and the reference if `calls` may give null, read input `index` by its strides and offset. Other inputs come
   * row-major with offset 0, copied if need be. Default: none.
   */
  takes?(input: Layout, index: number, attrs: Attrs): boolean;
}

/** One parallel loop of a WebAssembly kernel, as data. */
export interface WasmCall {
  /** A function of backends/wasm/kernels that computes rows begin … end − 1. */
  readonly kernel: string;
  /** The number of rows. */
  readonly rows: number;
  /** Rows that a thread takes at once. They follow from the shapes alone, so that results do not depend on the threads. */
  readonly grain: number;
  /**
   * What the function takes after `begin` and `end`, by the names of its parameters: every one, and no other but undefined ones. An
   * operand stands for the address of its first element, its offset included; an array for the address of its numbers as int32.
   */
  readonly args: Readonly<Record<string, number | readonly number[] | View | Temporary | undefined>>;
}

/** The operands of one run on the WebAssembly backend. */
export interface WasmOperands<Attrs> {
  /** The inputs, as `takes` lets them lie. */
  readonly inputs: readonly View[];
  /** The outputs, row-major. */
  readonly outputs: readonly View[];
  /** The op's attributes. */
  readonly attrs: Attrs;
  /** Scratch for `size` elements of four bytes. */
  temporary(size: number): Temporary;
}

/**
 * Rows of `size` elements that a thread takes at once: as many as take about as long as waking it.
 * @param cost of an element, in copied ones
 */
export function grainOf(size: number, cost = 1): number {
  return Math.max(1, Math.ceil(16384 / (size * cost)));
}
