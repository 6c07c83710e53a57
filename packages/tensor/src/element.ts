// Numbers of the host as elements of a type, as `cast`, `tensor` and `full` convert them.

import type { DType } from "./shape.ts";

const RANGE = { int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1] } as const;

/**
 * A number as an element. For integers it is truncated towards 0 and limited to the type's range, and NaN becomes 0. For bools,
 * 1 unless it is 0, so NaN becomes 1. A float32 stays as it is: storage rounds it.
 */
export function elementOf(value: number, dtype: DType): number {
  if (dtype === "float32") return value;
  if (dtype === "bool") return Number(Number(value) !== 0); // a program without types may give false
  const [lowest, highest] = RANGE[dtype];
  return Number.isNaN(value) ? 0 : Math.min(Math.max(Math.trunc(value), lowest), highest);
}

/** Numbers as elements, as `elementOf` makes them. They are copied only where some may change. */
export function elementsOf(values: ArrayLike<number>, dtype: DType): ArrayLike<number> {
  if (dtype === "float32") return values;
  if (dtype === "int32" && values instanceof Int32Array) return values;
  if (dtype === "uint32" && values instanceof Uint32Array) return values;
  return Float64Array.from(values, (value) => elementOf(value, dtype));
}

/** The 32 bits of an element, as an unsigned integer. */
export function bitsOf(value: number, dtype: DType): number {
  return dtype === "float32" ? new Uint32Array(Float32Array.of(value).buffer)[0] : elementOf(value, dtype) >>> 0;
}

/** Whether a number is an element without change. */
export function isElement(value: number, dtype: DType): boolean {
  return dtype === "float32" || (typeof value === "number" && elementOf(value, dtype) === value);
}
