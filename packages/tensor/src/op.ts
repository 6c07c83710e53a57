// What an op is: its rules as data (types only) and defineOp; running ops is tensor.ts's work.

import { expectOptions, expectTensors } from "./argument.ts";
import type { Product, Retiled, Tiling } from "./ops/matmul/tiles.ts";
import type { DType, Layout, Shape, Spec } from "./shape.ts";
import type { Signature } from "./signature.ts";
import type { Tensor } from "./tensor.ts";

/** The elements of a tensor on the host: of float32 (float64 on `cpu({ precision: "float64" })`), int32, uint32. */
export type NumberArray = Float32Array | Float64Array | Int32Array | Uint32Array;

/** Elements on the host: element i of the op's operand is data[offset + Σ index_k · strides_k]. */
export interface NdArray extends Layout {
  readonly data: NumberArray;
  readonly dtype: DType;
}

/** An operand on the GPU. A kernel binds it whole; `offset` (in elements) is 0 unless the op takes strided inputs. */
export interface View extends Layout {
  readonly dtype: DType;
}

/** Scratch storage that lives for one run of an op. */
export interface Temporary {
  readonly temporary: number;
  readonly size: number;
}

/** One dispatch, as data. */
export interface KernelCall {
  /** WGSL text; its `@binding(0)` is `params` when it has parameters. */
  readonly kernel: string;
  /** New values for the kernel's `const`, `alias` and one-line `fn` declarations, by name. */
  readonly constants?: Readonly<Record<string, string | number | boolean>>;
  /** WGSL text of functions that the kernel's one-line `fn`s may call, appended to it: a file of kernels/ without an entry point. */
  readonly library?: string;
  /** The fields of the kernel's `struct Params`, by name: every one, and no other. */
  readonly params?: Readonly<Record<string, number | readonly number[]>>;
  /** The storage bindings in the order of their numbers. */
  readonly bindings: readonly (View | Temporary)[];
  /** Threads, of which the kernel's WGSL says how many make a workgroup; or, for kernels whose workgroups work together, workgroups. */
  readonly grid: { readonly threads: number } | { readonly workgroups: number };
}

/** What a kernel may count on. */
export interface GpuTarget {
  /** `direct` for software adapters (no workgroup memory), `tiled` for GPUs. */
  readonly profile: "direct" | "tiled";
  readonly workgroupMemory: number;
  readonly maxInvocations: number;
  /** Whether products round their operands to float16. */
  readonly half?: boolean;
  /** The matrices, m × k and k × n in float16, that a subgroup of so many threads multiplies at once, adding up in float32. */
  readonly matrix?: { readonly m: number; readonly n: number; readonly k: number; readonly subgroup: number };
  /** The tiling of a product that was found by timing on this device, if any. */
  readonly timed?: (kernel: string, product: Product, calls: Retiled) => Tiling | null;
}

/** The operands of one call and what may be used to compute it. */
export interface GpuCall<Attrs> {
  readonly inputs: readonly View[];
  readonly outputs: readonly View[];
  readonly attrs: Attrs;
  readonly target: GpuTarget;
  /** Scratch for `size` elements of four bytes. */
  temporary(size: number): Temporary;
}

/** One parallel loop of a WebAssembly kernel, as data. */
export interface WasmCall {
  /** A function of backends/wasm/kernels that computes rows begin … end − 1. */
  readonly kernel: string;
  readonly rows: number;
  /** Rows that a thread takes at once. They follow from the shapes alone, so that results do not depend on the threads. */
  readonly grain: number;
  /**
   * What the function takes after `begin` and `end`, by the names of its parameters: every one, and no other but undefined ones. An
   * operand stands for the address of its first element, its offset included; an array for the address of its numbers as int32.
   */
  readonly args: Readonly<Record<string, number | readonly number[] | View | Temporary | undefined>>;
}

/** The operands of one call on the WebAssembly backend. */
export interface WasmOperands<Attrs> {
  readonly inputs: readonly View[];
  readonly outputs: readonly View[];
  readonly attrs: Attrs;
  /** Scratch for `size` elements of four bytes. */
  temporary(size: number): Temporary;
}

/** How the tests draw one input: uniform in `range` (default [-1, 1]); integers in [lo, hi) for integer types. */
export interface CaseInput {
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly range?: readonly [number, number];
  /** Exactly these elements, row-major, instead of drawn ones; or what follows from those of the inputs before. */
  readonly values?: readonly number[] | ((before: readonly (readonly number[])[]) => readonly number[]);
}

/** One set of operands from which the suite derives the op's tests. */
export interface Case<Attrs> {
  readonly inputs: readonly (Shape | CaseInput)[];
  readonly attrs?: Attrs;
}

/** Operands that must be refused, and what the message must contain. */
export interface ErrorCase<Attrs> extends Case<Attrs> {
  readonly error: string;
}

/**
 * How far a float32 result may lie from the float64 reference on the same inputs.
 * An element passes when |error| ≤ max(abs, ulp · 2⁻²⁴ · |reference|, 2 · 2⁻²⁴ · √terms · Σ|a·b|); relL2 bounds ‖error‖ / ‖reference‖.
 */
export interface Tolerance {
  readonly ulp?: number;
  readonly abs?: number;
  readonly relL2?: number;
  /** The number of products summed in each element; Σ|a·b| is the op's own reference on |inputs|. */
  readonly terms?: (inputs: readonly Shape[]) => number;
}

/** An op, declared once. `Attrs` are plain data: everything that is not a tensor. */
export interface Op<Attrs = undefined> {
  readonly name: string;
  /** The types of inputs that it takes together; float32 alone by default. Others are refused before `infer`. */
  readonly types?: readonly Signature[];
  /** Shapes and types of the outputs. @throws ShapeError naming the op and the shapes */
  readonly infer: (inputs: readonly Spec[], attrs: Attrs) => readonly Spec[];
  /** For an op that only re-reads its one input: the new layout, or null where strides cannot say it. Replaces kernels. */
  readonly view?: (input: Layout, attrs: Attrs) => Layout | null;
  /** The formula on the host, obvious before fast; run in float32 and float64. */
  readonly cpu?: (outputs: readonly NdArray[], inputs: readonly NdArray[], attrs: Attrs) => void;
  /** The kernel calls on the GPU. */
  readonly gpu?: (call: GpuCall<Attrs>) => readonly KernelCall[];
  /**
   * For an op whose attributes change from step to step (draws, learning rates, a sampler's factors) all kernel parameters that follow
   * from them, by name: they alone are computed again. Nothing else of `gpu` may follow from attributes, but for what outputs tell.
   */
  readonly perStep?: (attrs: Attrs, inputs: readonly Spec[]) => NonNullable<KernelCall["params"]>;
  /** The kernel calls on the WebAssembly backend, run one after another; null where it has none and `cpu` has to do. */
  readonly wasm?: (operands: WasmOperands<Attrs>) => readonly WasmCall[] | null;
  /** Input layouts that the rules take as they are; others are copied to row-major order first. Default: row-major only. */
  readonly strided?: (input: Layout, index: number, attrs: Attrs) => boolean;
  /**
   * Cotangents of the inputs from those of the outputs, in differentiable Tensor methods. A null result stands for zero;
   * `needed` says whose cotangents will be used, for rules where the others cost time.
   * An op without `vjp` and `composed` has zero derivative (comparisons, integers).
   */
  readonly vjp?: (
    cotangents: readonly Tensor[],
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    attrs: Attrs,
    needed: readonly boolean[],
  ) => readonly (Tensor | null)[];
  /** The same function in differentiable Tensor methods: how a fused op without a `vjp` is differentiated. */
  readonly composed?: (inputs: readonly Tensor[], attrs: Attrs) => readonly Tensor[];
  /**
   * For each output the input whose elements it takes over: the rules find them in the output and overwrite them. An input that
   * anybody else still holds is copied first, so that tensors stay immutable.
   */
  readonly inPlace?: readonly number[];
  /** Outputs from this index on are by-products of the kernel and not differentiable. */
  readonly auxiliary?: number;
  /** What `vjp` reads besides shapes; everything when absent. Indices of inputs and outputs. */
  readonly saves?: { readonly inputs?: readonly number[]; readonly outputs?: readonly number[] };
  readonly tolerance: Tolerance;
  readonly cases: readonly Case<Attrs>[];
  readonly errors?: readonly ErrorCase<Attrs>[];
}

/** Declares an op; the identity, but for checking that its rules are complete. */
export function defineOp<Attrs = undefined>(op: Op<Attrs>): Op<Attrs> {
  expectOptions("defineOp", op);
  if (!op.view && !(op.cpu && op.gpu)) throw new Error(`${op.name}: has neither a view nor both cpu and gpu rules`);
  if (op.cases.length === 0) throw new Error(`${op.name}: has no cases, want at least one`);
  return op;
}

/** Runs an op on at least one tensor: what rules call where a result has no Tensor method of its own. */
export function run<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[] {
  expectTensors(op.name, "operands", inputs);
  return inputs[0].apply(op, inputs, attrs);
}

export const float32 = (shape: Shape): Spec => ({ shape, dtype: "float32" });
