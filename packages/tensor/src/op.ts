// What an op is: its rules as data (types only) and defineOp; running ops is tensor.ts's work.

import { expectOptions, expectTensors } from "./argument.ts";
import type { WasmRule } from "./backends/wasm/rule.ts";
import type { KernelCall, WebgpuRule } from "./backends/webgpu/rule.ts";
import type { DType, Layout, Shape, Spec } from "./shape.ts";
import type { Signature } from "./signature.ts";
import type { Tensor } from "./tensor.ts";

/** The elements of a tensor on the host: of float32 (float64 on `cpu({ precision: "float64" })`), int32, uint32. */
export type NumberArray = Float32Array | Float64Array | Int32Array | Uint32Array;

/** Elements on the host: element i of the op's operand is data[offset + Σ index_k · strides_k]. */
export interface NdArray extends Layout {
  /** The elements of the storage. */
  readonly data: NumberArray;
  /** The type of the elements. */
  readonly dtype: DType;
}

/** An operand of a backend's kernels. Its `offset` (in elements) is 0 unless the backend's rule takes the input as it lies. */
export interface View extends Layout {
  /** The type of the elements. */
  readonly dtype: DType;
}

/** Scratch storage that lives for one run of an op. */
export interface Temporary {
  /** Its index among the temporaries of the run. */
  readonly temporary: number;
  /** Its length in elements of four bytes. */
  readonly size: number;
}

/** An input of a test: drawn uniformly from `range`, or given as `values`. */
export interface CaseInput {
  /** The lengths of the axes. */
  readonly shape: Shape;
  /** Default float32. */
  readonly dtype?: DType;
  /** [low, high] for floats, by default [-1, 1]; integers low, …, high − 1 for integer types. */
  readonly range?: readonly [number, number];
  /** Exactly these elements, row-major, instead of drawn ones; or what follows from those of the inputs before. */
  readonly values?: readonly number[] | ((before: readonly (readonly number[])[]) => readonly number[]);
}

/** One set of operands from which the suite derives the op's tests. */
export interface Case<Attrs> {
  /** The inputs, each a shape of float32 or in full. */
  readonly inputs: readonly (Shape | CaseInput)[];
  /** The op's attributes. */
  readonly attrs?: Attrs;
}

/** Operands that must be refused, and what the message must contain. */
export interface ErrorCase<Attrs> extends Case<Attrs> {
  /** Text that the message contains. */
  readonly error: string;
}

/**
 * How far a float32 result may lie from the float64 reference on the same inputs.
 * An element passes when |error| ≤ max(abs, ulp · 2⁻²⁴ · |reference|, 2 · 2⁻²⁴ · √terms · Σ|a·b|); relL2 bounds ‖error‖ /
 * ‖reference‖.
 */
export interface Tolerance {
  /** In units of 2⁻²⁴ of the reference. */
  readonly ulp?: number;
  /** The absolute error that always passes. */
  readonly abs?: number;
  /** The bound of ‖error‖ / ‖reference‖ over all elements. */
  readonly relL2?: number;
  /** The number of products summed in each element; Σ|a·b| is the op's own reference on |inputs|. */
  readonly terms?: (inputs: readonly Shape[]) => number;
}

/** An op, declared once. `Attrs` are plain data: everything that is not a tensor. */
export interface Op<Attrs = undefined> {
  /** The name in errors and reports. */
  readonly name: string;
  /** The types of inputs that it takes together; float32 alone by default. Others are refused before `infer`. */
  readonly types?: readonly Signature[];
  /** Shapes and types of the outputs. @throws ShapeError naming the op and the shapes */
  readonly infer: (inputs: readonly Spec[], attrs: Attrs) => readonly Spec[];
  /** For an op that only re-reads its one input: the new layout, or null where strides cannot say it. Replaces kernels. */
  readonly view?: (input: Layout, attrs: Attrs) => Layout | null;
  /** The formula on the host, obvious before fast; run in float32 and float64. */
  readonly cpu?: (outputs: readonly NdArray[], inputs: readonly NdArray[], attrs: Attrs) => void;
  /** Whether `cpu` reads inputs by their strides and offsets, whatever they are; otherwise they come row-major. Default false. */
  readonly strided?: boolean;
  /** How it is computed on WebGPU. */
  readonly webgpu?: WebgpuRule<Attrs>;
  /** How it is computed in WebAssembly. Null: by `cpu`, on one thread. Undefined for views alone, so that nobody forgets it. */
  readonly wasm?: WasmRule<Attrs> | null;
  /**
   * For an op whose attributes change from step to step (draws, learning rates, a sampler's factors) all kernel parameters that
   * follow from them, by name: they alone are computed again. Nothing else of `webgpu` may follow from attributes, but for what
   * outputs tell.
   * @param call the index of the kernel call whose parameters are wanted
   */
  readonly perStep?: (attrs: Attrs, inputs: readonly Spec[], call: number) => NonNullable<KernelCall["params"]>;
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
  /**
   * Whether its outputs are computed again from what the graph saves, instead of being kept for ops that read them in the backward pass.
   * For ops that cost little beside these. Default false.
   */
  readonly cheap?: boolean;
  /** How exact the op is in float32. */
  readonly tolerance: Tolerance;
  /** Operands that every derived test runs on. */
  readonly cases: readonly Case<Attrs>[];
  /** Operands that are refused. */
  readonly errors?: readonly ErrorCase<Attrs>[];
}

/** The rules that an op cannot do without. */
export type Complete<Attrs> = Required<Pick<Op<Attrs>, "view">> | Required<Pick<Op<Attrs>, "cpu" | "webgpu" | "wasm">>;

/**
 * Declares an op; the identity, but for checking that its rules are complete.
 * @throws Error naming the op for rules that are missing, and for an op without cases
 */
export function defineOp<Attrs = undefined>(op: Op<Attrs> & Complete<Attrs>): Op<Attrs> {
  expectOptions("defineOp", op);
  if (!op.view && !(op.cpu && op.webgpu)) {
    throw new Error(`${op.name}: has neither a view nor both cpu and webgpu rules`);
  }
  if (!op.view && op.wasm === undefined) {
    throw new Error(`${op.name}: wasm is undefined, want a rule, or null for the reference`);
  }
  if (op.cases.length === 0) throw new Error(`${op.name}: has no cases, want at least one`);
  return op;
}

/** Runs an op on at least one tensor: what rules call where a result has no Tensor method of its own. */
export function run<Attrs>(op: Op<Attrs>, inputs: readonly Tensor[], attrs: Attrs): Tensor[] {
  expectTensors(op.name, "operands", inputs);
  return inputs[0].apply(op, inputs, attrs);
}

export const float32 = (shape: Shape): Spec => ({ shape, dtype: "float32" });
