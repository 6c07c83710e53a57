// The family of elementwise ops: what makes an op of a WGSL expression, the same formula on the host, and a cotangent.

import { expectOptions } from "../../argument.ts";
import { type Case, type CaseInput, defineOp, type ErrorCase, type NdArray, type Op } from "../../op.ts";
import { type DType, formatShape, type Shape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import { accepts } from "../../signature.ts";
import { elementReader } from "../reference.ts";
import { elementwiseWasm } from "./wasm.ts";
import { elementwiseWebgpu, scalarParams } from "./webgpu.ts";

/** What `elementwise` makes an op of. */
export interface Elementwise<Attrs> extends Pick<Op<Attrs>, "name" | "types" | "vjp" | "saves" | "tolerance"> {
  /** The expression in the elements a, b, c and the scalars params.s0, params.s1. */
  readonly wgsl: string | ((types: readonly DType[], attrs: Attrs) => string);
  /** Functions that the expression calls. */
  readonly library?: string;
  /** The kernel in WebAssembly for float32 inputs, or for inputs of given types; null for the reference, where there is none. */
  readonly wasm: string | null | ((types: readonly DType[], attrs: Attrs) => string | null);
  /** The same formula on the host; unary and binary formulas ignore what comes after. */
  readonly cpu: (a: number, b: number, c: number, attrs: Attrs) => number;
  /** The formula for integers and bools, where it is another one. */
  readonly integers?: Elementwise<Attrs>["cpu"];
  /** The number of inputs. Default 1. */
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
  /** Further operands to test with, besides those drawn. */
  readonly cases?: readonly Case<Attrs>[];
}

const SHAPES: readonly Shape[] = [[], [0, 3], [7], [64, 2], [3, 5, 33], [2, 1, 2, 3, 1, 5]];

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
    strided: true,
    webgpu: elementwiseWebgpu(rules),
    // An expression that does not follow from the attributes gets all of them as scalars.
    perStep: rules.scalars && typeof rules.wgsl === "string" ? (attrs) => scalarParams(scalars(attrs)) : undefined,
    wasm: elementwiseWasm(rules),
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
