// Conversion between element types.

import casts from "@pkg/kernels/functions/casts.wgsl";
import { elementOf } from "../../element.ts";
import type { DType } from "../../shape.ts";
import { ANY } from "../../signature.ts";
import { elementwise } from "./elementwise.ts";

const CAST: Readonly<Record<DType, string>> = {
  float32: "f32(a)",
  int32: "i32(a)",
  uint32: "u32(a)",
  bool: "select(0u, 1u, a != A())",
};

const CAST_OF_FLOAT: Readonly<Record<DType, string>> = {
  float32: "a",
  int32: "float_to_i32(a)",
  uint32: "float_to_u32(a)",
  bool: "float_to_bool(a)",
};

/** Floats at and beyond the ends of the integer types, and what is no ordinary number. */
const BEYOND: readonly number[] = [
  ...[2147483520, 2147483648, -2147483648, -2147483904, 3e9, -3e9, 4294967040, 4294967296, 1e20, -1e20],
  ...[-1, -0.5, -0, 0.9, 1.9, -1.9, 1e-45, -1e-40, Infinity, -Infinity, Number.NaN],
];

const WASM_CAST: Readonly<Record<DType, Partial<Record<DType, string>>>> = {
  float32: { float32: "copy", int32: "cast_f32_i32", uint32: "cast_f32_u32", bool: "cast_f32_bool" },
  int32: { float32: "cast_i32_f32", int32: "copy", uint32: "copy", bool: "cast_i32_bool" },
  uint32: { float32: "cast_u32_f32", int32: "copy", uint32: "copy", bool: "cast_i32_bool" },
  bool: { float32: "cast_u32_f32", int32: "copy", uint32: "copy", bool: "copy" },
};

/**
 * Another element type. Floats are truncated towards 0, limited to an integer type's ends, and NaN gives 0; integers keep their bits;
 * whatever is not 0 is true, NaN too.
 */
export const cast = elementwise<{ readonly dtype: DType }>({
  name: "cast",
  wgsl: ([type], { dtype }) => (type === "float32" ? CAST_OF_FLOAT : CAST)[dtype],
  library: casts,
  wasm: ([type], { dtype }) => WASM_CAST[type][dtype] ?? null,
  cpu: (a, _b, _c, { dtype }) => elementOf(a, dtype),
  integers: (a, _b, _c, { dtype }) => (dtype === "bool" ? Number(a !== 0) : a), // storage keeps the lower 32 bits
  types: ANY,
  result: ({ dtype }) => dtype,
  vjp: ([g], [x]) => [x.dtype === "float32" && g.dtype === "float32" ? g : null],
  saves: {},
  attrs: [{ dtype: "float32" }, { dtype: "int32" }, { dtype: "uint32" }, { dtype: "bool" }],
  cases: (["int32", "uint32", "bool"] as const).map((dtype) => ({
    inputs: [{ shape: [BEYOND.length], values: BEYOND }],
    attrs: { dtype },
  })),
  tolerance: { ulp: 1 },
});
