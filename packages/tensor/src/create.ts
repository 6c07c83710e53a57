// Tensors from numbers: tensor, zeros, ones, full, arange, zerosLike, onesLike. Random tensors come from random.ts.

import { expectNumber, expectTensor, optionsOf, wrongArgument } from "./argument.ts";
import type { Backend } from "./backend.ts";
import { tracerOn } from "./capture/step.ts";
import { blank } from "./compute.ts";
import { backendFor } from "./defaultBackend.ts";
import { elementsOf } from "./element.ts";
import { tidy } from "./memory/memory.ts";
import { noteDeed } from "./memory/reads.ts";
import type { NumberArray } from "./op.ts";
import { fill } from "./ops/index.ts";
import { checkShape, checkType, type DType, formatShape, type Shape, ShapeError, sizeOf } from "./shape.ts";
import { apply, type NestedNumbers, type Tensor, tensorOf } from "./tensor.ts";

/** Where a new tensor lies, and the type of its elements. */
export interface CreateOptions {
  /** Default: the one of `setDefaultBackend`. */
  readonly backend?: Backend;
  /** Default float32. */
  readonly dtype?: DType;
}

const OPTIONS = '{ backend, dtype: "int32" }';

/** Numbers for a tensor: one number, nested arrays, or a typed array. */
export type TensorValues = NestedNumbers | NumberArray | Uint8Array;

/**
 * A tensor of given numbers.
 * @param values a number, nested arrays, or a typed array (whose type is taken unless `dtype` is given: Int32Array → int32,
 * Uint32Array → uint32)
 * @param options `shape` arranges flat values; without it the nesting of `values` is the shape. Values that `dtype` does not hold
 * become elements as `cast` makes them: integers are truncated and limited, and what is not 0 is true
 * @throws ShapeError when nested arrays are ragged or `shape` does not hold the values
 * @example
 * ```ts
 * import { bestBackend, setDefaultBackend, tensor } from "@pkg/tensor";
 *
 * setDefaultBackend(await bestBackend());
 * const x = tensor([[1, 2, 3], [4, 5, 6]]); // [2, 3]
 * const centred = x.sub(x.mean(0)); // shapes broadcast as NumPy's do
 * console.log(await centred.array()); // [[-1.5, -1.5, -1.5], [1.5, 1.5, 1.5]]
 * console.log(await x.matmul(x.transpose()).array()); // [[14, 32], [32, 77]]
 * ```
 */
export function tensor(values: TensorValues, options: CreateOptions & { readonly shape?: Shape } = {}): Tensor {
  const { backend: given, shape, dtype } = optionsOf("tensor", options, OPTIONS);
  if (dtype !== undefined) checkType("tensor", dtype);
  const backend = backendFor("tensor", given);
  checkValues(values);
  const type = dtype ?? (values instanceof Int32Array ? "int32" : values instanceof Uint32Array ? "uint32" : "float32");
  const isFlat = typeof values === "object" && ArrayBuffer.isView(values);
  const natural: Shape = isFlat ? [values.length] : shapeOf(values);
  const flat = elementsOf(isFlat ? values : flatten(values), type);
  const wanted = checkShape("tensor", shape ?? natural);
  if (sizeOf(wanted) !== flat.length) {
    throw new ShapeError(`tensor: ${flat.length} values for shape ${formatShape(wanted)}, want ${sizeOf(wanted)}`);
  }
  const tracer = tracerOn(backend);
  if (tracer) {
    const made = tensorOf(tracer.upload({ shape: wanted, dtype: type }, flat));
    noteDeed("tensor", { shape: wanted, dtype: type, data: flat }, [], [made]);
    return made;
  }
  const elements = blank(backend, { shape: wanted, dtype: type }, "tensor");
  try {
    backend.upload(elements.storage.buffer, type, flat);
  } catch (error) {
    elements.storage.release();
    throw error;
  }
  return tensorOf(elements);
}

/**
 * A tensor filled with one number. It takes the memory of one element until it is written to.
 * @param value converted as `tensor` converts
 * @throws Error for what is not a number; ShapeError for a shape that is none
 */
export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  checkShape("full", shape);
  if (typeof value !== "number" && typeof value !== "boolean") throw wrongArgument("full", "value", value, "a number");
  const { backend: given, dtype = "float32" } = optionsOf("full", options, OPTIONS);
  checkType("full", dtype);
  const backend = backendFor("full", given);
  return tidy(() => apply(fill, [], { value, dtype }, backend)[0].expand(shape));
}

/** A tensor filled with 0. */
export function zeros(shape: Shape, options: CreateOptions = {}): Tensor {
  return full(shape, 0, options);
}

/** A tensor filled with 1. */
export function ones(shape: Shape, options: CreateOptions = {}): Tensor {
  return full(shape, 1, options);
}

/** Zeros in the shape and type of a tensor, on its backend. */
export function zerosLike(like: Tensor): Tensor {
  expectTensor("zerosLike", "like", like);
  const { shape, dtype, backend } = like;
  return full(shape, 0, { backend, dtype });
}

/** Ones in the shape and type of a tensor, on its backend. */
export function onesLike(like: Tensor): Tensor {
  expectTensor("onesLike", "like", like);
  const { shape, dtype, backend } = like;
  return full(shape, 1, { backend, dtype });
}

/**
 * The numbers start, start + step, … below `end` (above it for a negative step).
 * @param options `step` is 1 by default
 * @throws Error for bounds that are not finite, or a step of 0
 */
export function arange(start: number, end: number, options: CreateOptions & { readonly step?: number } = {}): Tensor {
  const { step = 1 } = optionsOf("arange", options, "{ step: 2 }");
  for (const [name, bound] of Object.entries({ start, end, step })) expectNumber("arange", name, bound);
  if (!(step !== 0 && Number.isFinite((end - start) / step))) {
    throw new Error(`arange: from ${start} to ${end} in steps of ${step}, want finite bounds and a step that is not 0`);
  }
  const count = Math.max(0, Math.ceil((end - start) / step));
  return tensor(
    Array.from({ length: count }, (_, k) => start + k * step),
    options,
  );
}

/** Refuses values that hold something other than numbers. */
function checkValues(values: unknown): void {
  if (typeof values === "number") return;
  if (ArrayBuffer.isView(values) && !(values instanceof DataView) && !/^Big/.test(values.constructor.name)) return;
  if (!Array.isArray(values))
    throw wrongArgument("tensor", "values", values, "numbers, lists of them, or a typed array");
  for (const value of values) if (typeof value !== "number") checkValues(value);
}

function shapeOf(values: NestedNumbers): number[] {
  if (typeof values === "number") return [];
  return [values.length, ...(values.length > 0 ? shapeOf(values[0]) : [])];
}

function flatten(values: NestedNumbers): number[] {
  if (typeof values === "number") return [values];
  const shapes = values.map(shapeOf);
  const ragged = shapes.find((shape) => formatShape(shape) !== formatShape(shapes[0]));
  if (ragged) {
    throw new ShapeError(
      `tensor: nested arrays of shapes ${formatShape(shapes[0])} and ${formatShape(ragged)}, want equal ones`,
    );
  }
  return values.flatMap(flatten);
}
