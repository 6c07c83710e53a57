// The family of elementwise ops: what makes an op of a WGSL expression, the same formula on the host, and a cotangent.

import stridedKernel from "@pkg/kernels/elementwise/elementwise.wgsl";
import contiguousKernel from "@pkg/kernels/elementwise/elementwise_vec4.wgsl";
import { expectOptions } from "../../argument.ts";
import {
  type Case,
  type CaseInput,
  defineOp,
  type ErrorCase,
  type KernelCall,
  type NdArray,
  type Op,
  type View,
  type WasmCall,
  type WasmOperands,
} from "../../op.ts";
import {
  collapse,
  type DType,
  formatShape,
  isContiguous,
  type Layout,
  type Shape,
  ShapeError,
  sameShape,
  sizeOf,
} from "../../shape.ts";
import { accepts } from "../../signature.ts";
import { grainOf, perAxis } from "../dispatch.ts";

/** What `elementwise` makes an op of. */
export interface Elementwise<Attrs> extends Pick<Op<Attrs>, "name" | "types" | "vjp" | "saves" | "tolerance"> {
  /** The expression in the elements a, b, c and the scalars params.s0, params.s1. */
  readonly wgsl: string | ((types: readonly DType[], attrs: Attrs) => string);
  /** Functions that the expression calls. */
  readonly library?: string;
  /** The kernel in WebAssembly for float32 inputs, or for inputs of given types; null where there is none. */
  readonly wasm?: string | ((types: readonly DType[], attrs: Attrs) => string | null);
  /** The same formula on the host; unary and binary formulas ignore what comes after. */
  readonly cpu: (a: number, b: number, c: number, attrs: Attrs) => number;
  /** The formula for integers and bools, where it is another one. */
  readonly integers?: Elementwise<Attrs>["cpu"];
  readonly arity?: 1 | 2 | 3;
  /** Attributes that the kernel gets as params.s0 and params.s1. */
  readonly scalars?: (attrs: Attrs) => readonly number[];
  /** The result's type, when it is not the last input's. */
  readonly result?: DType | ((attrs: Attrs) => DType);
  /** Types of the inputs in tests, where they are not float32. */
  readonly inputTypes?: readonly DType[];
  /** Where the tests draw each input from; [-2, 2] by default. */
  readonly ranges?: readonly (readonly [number, number])[];
  /** Attributes to test with. */
  readonly attrs?: readonly Attrs[];
  readonly cases?: readonly Case<Attrs>[];
}

/** How an operand lies, for the WebAssembly kernels. */
const [IN_ROWS, SCALAR, STRIDED] = [0, 1, 2];
const SHAPES: readonly Shape[] = [[], [0, 3], [7], [64, 2], [3, 5, 33], [2, 1, 2, 3, 1, 5]];
export const WGSL_TYPE: Readonly<Record<DType, string>> = { float32: "f32", int32: "i32", uint32: "u32", bool: "u32" };

/** Declares an elementwise op. Its operands have equal shapes: Tensor methods stretch them first, as views. */
export function elementwise<Attrs = undefined>(rules: Elementwise<Attrs>): Op<Attrs> {
  expectOptions("elementwise", rules);
  const { name, types, arity = 1, scalars = () => [] } = rules;
  return defineOp<Attrs>({
    name,
    types,
    infer(inputs, attrs) {
      if (inputs.some((input) => !sameShape(input.shape, inputs[0].shape))) {
        throw new ShapeError(`${name}: ${inputs.map((i) => formatShape(i.shape)).join(" and ")}, want equal shapes`);
      }
      const result = typeof rules.result === "function" ? rules.result(attrs) : rules.result;
      return [{ shape: inputs[0].shape, dtype: result ?? inputs[arity - 1].dtype }];
    },
    cpu: ([out], inputs, attrs) =>
      mapElements(out, inputs, (inputs[0].dtype !== "float32" && rules.integers) || rules.cpu, attrs),
    gpu(call) {
      const inputTypes = call.inputs.map(({ dtype }) => dtype);
      const wgsl = typeof rules.wgsl === "string" ? rules.wgsl : rules.wgsl(inputTypes, call.attrs);
      return [elementwiseCall(call.inputs, call.outputs[0], wgsl, scalars(call.attrs), rules.library)];
    },
    // An expression that does not follow from the attributes gets all of them as scalars.
    perStep: rules.scalars && typeof rules.wgsl === "string" ? (attrs) => scalarParams(scalars(attrs)) : undefined,
    wasm(operands) {
      const kernel = wasmKernel(rules, operands);
      return kernel === null
        ? null
        : [elementwiseWasm(operands.inputs, operands.outputs[0], kernel, scalars(operands.attrs))];
    },
    strided: () => true,
    vjp: rules.vjp,
    saves: rules.saves,
    tolerance: rules.tolerance,
    cases: [...(rules.cases ?? []), ...drawnCases(rules, arity)],
    errors: refusedCases(rules, arity),
  });
}

/** Operands of one shape but for the first, and of a type that it does not take. */
function refusedCases<Attrs>(
  { name, types, inputTypes = [], attrs }: Elementwise<Attrs>,
  arity: number,
): ErrorCase<Attrs>[] {
  const inputs = (shapes: readonly Shape[], dtypes: readonly (DType | undefined)[]): CaseInput[] =>
    shapes.map((shape, k) => ({ shape, dtype: dtypes[k] }));
  const equal = new Array<Shape>(arity).fill([2]);
  const refused = (["bool", "uint32", "int32", "float32"] as const)
    .map((dtype) => new Array<DType>(arity).fill(dtype))
    .find((dtypes) => !accepts({ types }, dtypes));
  return [
    ...(arity === 1
      ? []
      : [{ inputs: inputs([[3], ...equal.slice(1)], inputTypes), attrs: attrs?.[0], error: `${name}: [3] and [2]` }]),
    ...(refused
      ? [{ inputs: inputs(equal, refused), attrs: attrs?.[0], error: `${name}: types ${refused.join(", ")}, want ` }]
      : []),
  ];
}

function drawnCases<Attrs>({ ranges = [], inputTypes = [], attrs }: Elementwise<Attrs>, arity: number): Case<Attrs>[] {
  const inputs = (shape: Shape): CaseInput[] =>
    Array.from({ length: arity }, (_, k) => ({
      shape,
      dtype: inputTypes[k],
      range: ranges[k] ?? ranges[0] ?? [-2, 2],
    }));
  return SHAPES.flatMap((shape) => (attrs ?? [undefined]).map((value) => ({ inputs: inputs(shape), attrs: value })));
}

/** One pass of an expression in the elements a, b, c of the inputs. */
export function elementwiseCall(
  inputs: readonly View[],
  out: View,
  wgsl: string,
  scalars: readonly number[] = [],
  library?: string,
): KernelCall {
  const size = sizeOf(out.shape);
  // The kernels declare three inputs; an op with fewer binds its first in the others' place, where nobody reads it.
  const operands = [0, 1, 2].map((k) => inputs[k] ?? inputs[0]);
  const offsets = [...operands.map(({ offset }) => offset), 0];
  const bindings = [...operands, out];
  const [A, B, C, Out] = bindings.map(({ dtype }) => WGSL_TYPE[dtype]);
  const shared = { A, B, C, Out, ARITY: `${inputs.length}u`, f: `return ${wgsl};` };
  if (inputs.every((input) => isScalar(input) || (isContiguous(input) && input.offset % 4 === 0))) {
    const [A_IS_SCALAR, B_IS_SCALAR, C_IS_SCALAR] = operands.map(isScalar);
    const quads = Math.ceil(size / 4);
    return {
      kernel: contiguousKernel,
      library,
      constants: { ...shared, A_IS_SCALAR, B_IS_SCALAR, C_IS_SCALAR },
      params: { quads, ...scalarParams(scalars), offsets },
      bindings,
      grid: { threads: quads },
    };
  }
  const [{ shape }, a, b, c] = collapse([out, ...operands]);
  return {
    kernel: stridedKernel,
    library,
    constants: { ...shared, RANK: `${shape.length}u` },
    params: {
      size,
      ...scalarParams(scalars),
      offsets,
      shape: perAxis(shape),
      a_strides: perAxis(a.strides),
      b_strides: perAxis(b.strides),
      c_strides: perAxis(c.strides),
    },
    bindings,
    grid: { threads: size },
  };
}

function scalarParams([s0 = 0, s1 = 0]: readonly number[]) {
  return { s0, s1 };
}

function wasmKernel<Attrs>({ wasm }: Elementwise<Attrs>, { inputs, attrs }: WasmOperands<Attrs>): string | null {
  const types = inputs.map(({ dtype }) => dtype);
  if (typeof wasm === "function") return wasm(types, attrs);
  return wasm !== undefined && types.every((type) => type === "float32") ? wasm : null;
}

/** One pass of an elementwise kernel in WebAssembly; `out` may be one of the inputs. */
export function elementwiseWasm(
  inputs: readonly View[],
  out: View,
  kernel: string,
  scalars: readonly number[] = [],
): WasmCall {
  const [s = 0, t = 0] = scalars;
  const [a, b, c] = inputs;
  const [{ shape }, ...layouts] = collapse([out, ...inputs]);
  const layout = [shape.length, ...perAxis(shape)];
  for (const one of layouts) {
    layout.push(isContiguous(one) ? IN_ROWS : isScalar(one) ? SCALAR : STRIDED, ...perAxis(one.strides));
  }
  return { kernel, rows: sizeOf(out.shape), grain: grainOf(1), args: { out, layout, s, t, a, b, c } };
}

/** Whether every index of a view reads the same element. */
function isScalar({ shape, strides }: Layout): boolean {
  return strides.every((stride, k) => stride === 0 || shape[k] === 1);
}

function mapElements<Attrs>(
  out: NdArray,
  inputs: readonly NdArray[],
  f: Elementwise<Attrs>["cpu"],
  attrs: Attrs,
): void {
  const size = sizeOf(out.shape);
  const [a, b = a, c = a] = inputs.map(elementReader);
  for (let i = 0; i < size; i++) out.data[out.offset + i] = f(a(i), b(i), c(i), attrs);
}

/** Reads element i, counted row-major, of an operand on the host. */
export function elementReader({ data, ...layout }: NdArray): (i: number) => number {
  const { offset } = layout;
  if (isContiguous(layout)) return (i) => data[offset + i];
  const [{ shape, strides }] = collapse([layout]);
  return (i) => {
    let at = offset;
    for (let k = shape.length - 1; k >= 0; k--) {
      at += (i % shape[k]) * strides[k];
      i = Math.floor(i / shape[k]);
    }
    return data[at];
  };
}
