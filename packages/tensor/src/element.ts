// A number of the host as an element of a type: what `cast`, `tensor` and `full` make of it. Integers among themselves are not its matter.

import type { DType } from "./shape.ts";

const RANGE = { int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1] } as const;

/**
 * Integers are truncated towards 0 and limited to the type's ends, and NaN is 0; as a bool whatever is not 0 is 1, NaN too.
 * Floats are left to the storage, which rounds them.
 */
export function elementOf(value: number, dtype: DType): number {
  if (dtype === "float32") return value;
  if (dtype === "bool") return Number(Number(value) !== 0); // a program without types may give false
  const [lowest, highest] = RANGE[dtype];
  return Number.isNaN(value) ? 0 : Math.min(Math.max(Math.trunc(value), lowest), highest);
}

/** The same of many, which are copied only where they may have to change. */
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

/** Whether a number is an element as it stands. */
export function isElement(value: number, dtype: DType): boolean {
  return dtype === "float32" || (typeof value === "number" && elementOf(value, dtype) === value);
}
