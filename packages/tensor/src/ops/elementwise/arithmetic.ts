// Arithmetic, comparison and choice between elements. Operands have equal shapes here; broadcasting is a view made before.

import casts from "@pkg/kernels/functions/casts.wgsl";
import extremes from "@pkg/kernels/functions/extremes.wgsl";
import { elementOf } from "../../element.ts";
import type { Tolerance } from "../../op.ts";
import type { DType } from "../../shape.ts";
import { ANY, NUMBERS } from "../../signature.ts";
import type { Tensor } from "../../tensor.ts";
import { elementwise } from "./elementwise.ts";

const EXACT: Tolerance = { ulp: 1 };

export const add = elementwise({
  name: "add",
  wgsl: "a + b",
  wasm: "add",
  cpu: (a, b) => a + b,
  arity: 2,
  types: NUMBERS,
  vjp: ([g]) => [g, g],
  saves: {},
  tolerance: EXACT,
});

export const sub = elementwise({
  name: "sub",
  wgsl: "a - b",
  wasm: "sub",
  cpu: (a, b) => a - b,
  arity: 2,
  types: NUMBERS,
  vjp: ([g]) => [g, g.neg()],
  saves: {},
  tolerance: EXACT,
});

export const mul = elementwise({
  name: "mul",
  wgsl: "a * b",
  wasm: "mul",
  cpu: (a, b) => a * b,
  integers: (a, b) => Math.imul(a, b), // a product of floats has 53 bits, of which these are the lower ones
  arity: 2,
  types: NUMBERS,
  vjp: ([g], [a, b]) => [g.mul(b), g.mul(a)],
  tolerance: EXACT,
  saves: { inputs: [0, 1] },
});

export const div = elementwise({
  name: "div",
  wgsl: "a / b",
  wasm: "div",
  cpu: (a, b) => a / b,
  arity: 2,
  ranges: [
    [-2, 2],
    [0.5, 3],
  ],
  vjp: ([g], [, b], [y]) => [g.div(b), g.mul(y).div(b).neg()],
  saves: { inputs: [1], outputs: [0] },
  tolerance: { ulp: 5 },
});

/** scale · x + shift. */
export const affine = elementwise<{ readonly scale: number; readonly shift: number }>({
  name: "affine",
  wgsl: "a * params.s0 + params.s1",
  wasm: "affine",
  cpu: (a, _b, _c, { scale, shift }) => scale * a + shift,
  scalars: ({ scale, shift }) => [scale, shift],
  vjp: ([g], _, __, { scale }) => [g.affine(scale, 0)],
  saves: {},
  tolerance: { ulp: 4, abs: 1e-6 },
  attrs: [{ scale: -1.5, shift: 0.25 }],
});

/** (1 − weight) · a + weight · b. */
export const lerp = elementwise<{ readonly weight: number }>({
  name: "lerp",
  wgsl: "a * params.s0 + b * params.s1",
  wasm: "lerp",
  cpu: (a, b, _c, { weight }) => (1 - weight) * a + weight * b,
  arity: 2,
  scalars: ({ weight }) => [1 - weight, weight],
  vjp: ([g], _, __, { weight }) => [g.mul(1 - weight), g.mul(weight)],
  saves: {},
  tolerance: { ulp: 4, abs: 1e-6 },
  attrs: [{ weight: 0.3 }],
});

export const maximum = elementwise({
  name: "maximum",
  wgsl: ([type]) => (type === "float32" ? "larger(a, b)" : "max(a, b)"),
  library: extremes,
  wasm: "maximum",
  cpu: (a, b) => Math.max(a, b),
  arity: 2,
  types: NUMBERS,
  vjp: ([g], [a, b]) => shared(g, a.equal(b), a.greater(b)),
  saves: { inputs: [0, 1] },
  tolerance: EXACT,
});

export const minimum = elementwise({
  name: "minimum",
  wgsl: ([type]) => (type === "float32" ? "smaller(a, b)" : "min(a, b)"),
  library: extremes,
  wasm: "minimum",
  cpu: (a, b) => Math.min(a, b),
  arity: 2,
  types: NUMBERS,
  vjp: ([g], [a, b]) => shared(g, a.equal(b), a.less(b)),
  saves: { inputs: [0, 1] },
  tolerance: EXACT,
});

/** The cotangents of two operands of which one was taken. Chosen, not multiplied by 0 and 1: 0 · ∞ is no number. */
function shared(g: Tensor, isTie: Tensor, isFirst: Tensor): [Tensor, Tensor] {
  const half = g.mul(0.5);
  return [isTie.where(half, isFirst.where(g, 0)), isTie.where(half, isFirst.where(0, g))];
}

export const clamp = elementwise<{ readonly lo: number; readonly hi: number }>({
  name: "clamp",
  wgsl: "smaller(larger(a, params.s0), params.s1)",
  library: extremes,
  wasm: "clamp",
  cpu: (a, _b, _c, { lo, hi }) => Math.min(Math.max(a, lo), hi),
  scalars: ({ lo, hi }) => [lo, hi],
  vjp: ([g], [x], _, { lo, hi }) => [x.less(lo).where(0, x.greater(hi).where(0, g))],
  saves: { inputs: [0] },
  tolerance: EXACT,
  attrs: [{ lo: -0.75, hi: 1 }],
});

/** A comparison in WGSL, with what it is of a NaN: compilers may assume that there is none, so its bits are tested. */
const comparing =
  (comparison: string, ofNaN: boolean) =>
  ([type]: readonly DType[]): string => {
    if (type !== "float32") return `select(0u, 1u, ${comparison})`;
    const hasNaN = "is_not_a_number(a) || is_not_a_number(b)";
    return `select(0u, 1u, ${ofNaN ? `(${comparison}) || ${hasNaN}` : `(${comparison}) && !(${hasNaN})`})`;
  };

export const equal = elementwise({
  name: "equal",
  wgsl: comparing("a == b", false),
  library: extremes,
  wasm: "equal",
  cpu: (a, b) => Number(a === b),
  arity: 2,
  types: ANY,
  result: "bool",
  cases: [
    {
      inputs: [
        { shape: [4], values: [0, 1, -1, 2] },
        { shape: [4], values: [0, 1, 1, -2] },
      ],
    },
  ],
  tolerance: EXACT,
});

export const notEqual = elementwise({
  name: "notEqual",
  wgsl: comparing("a != b", true),
  library: extremes,
  wasm: ([type]) => (type === "float32" ? "not_equal" : "not_equal_bits"),
  cpu: (a, b) => Number(a !== b),
  arity: 2,
  types: ANY,
  result: "bool",
  cases: [
    {
      inputs: [
        { shape: [4], values: [0, 1, -1, 2] },
        { shape: [4], values: [0, 1, 1, -2] },
      ],
    },
    {
      inputs: [
        { shape: [9], dtype: "bool" },
        { shape: [9], dtype: "bool" },
      ],
    },
  ],
  tolerance: EXACT,
});

export const less = elementwise({
  name: "less",
  wgsl: comparing("a < b", false),
  library: extremes,
  wasm: "less",
  cpu: (a, b) => Number(a < b),
  arity: 2,
  types: NUMBERS,
  result: "bool",
  cases: [
    {
      inputs: [
        { shape: [4], values: [0, 1, -1, 2] },
        { shape: [4], values: [0, 1, 1, -2] },
      ],
    },
  ],
  tolerance: EXACT,
});

export const lessEqual = elementwise({
  name: "lessEqual",
  wgsl: comparing("a <= b", false),
  library: extremes,
  wasm: "less_equal",
  cpu: (a, b) => Number(a <= b),
  arity: 2,
  types: NUMBERS,
  result: "bool",
  cases: [
    {
      inputs: [
        { shape: [4], values: [0, 1, -1, 2] },
        { shape: [4], values: [0, 1, 1, -2] },
      ],
    },
  ],
  tolerance: EXACT,
});

export const logicalAnd = elementwise({
  name: "logicalAnd",
  wgsl: "a & b",
  wasm: () => "logical_and",
  cpu: (a, b) => a * b,
  arity: 2,
  types: [["bool"]],
  inputTypes: ["bool", "bool"],
  ranges: [[0, 2]],
  tolerance: EXACT,
});

export const logicalOr = elementwise({
  name: "logicalOr",
  wgsl: "a | b",
  wasm: () => "logical_or",
  cpu: (a, b) => Math.max(a, b),
  arity: 2,
  types: [["bool"]],
  inputTypes: ["bool", "bool"],
  ranges: [[0, 2]],
  tolerance: EXACT,
});

export const logicalNot = elementwise({
  name: "logicalNot",
  wgsl: "1u - a",
  wasm: () => "logical_not",
  cpu: (a) => 1 - a,
  types: [["bool"]],
  inputTypes: ["bool"],
  ranges: [[0, 2]],
  tolerance: EXACT,
});

/** Whether an element is a number: neither NaN nor infinite. By its bits, since WGSL may assume that all are. */
export const finite = elementwise({
  name: "isFinite",
  wgsl: "select(0u, 1u, (bitcast<u32>(a) & 0x7f800000u) != 0x7f800000u)",
  wasm: "is_finite",
  cpu: (a) => Number(Number.isFinite(a)),
  result: "bool",
  cases: [{ inputs: [{ shape: [6], values: [0, Number.NaN, Infinity, -Infinity, 3.4e38, 1e-45] }] }],
  tolerance: EXACT,
});

/** Whether an element is NaN. */
export const nan = elementwise({
  name: "isNaN",
  wgsl: "select(0u, 1u, is_not_a_number(a))",
  library: extremes,
  wasm: "is_nan",
  cpu: (a) => Number(Number.isNaN(a)),
  result: "bool",
  cases: [{ inputs: [{ shape: [6], values: [0, Number.NaN, Infinity, -Infinity, 3.4e38, 1e-45] }] }],
  tolerance: EXACT,
});

/** b where a (a bool) is true, c elsewhere. */
export const where = elementwise({
  name: "where",
  wgsl: "select(c, b, a != 0u)",
  wasm: () => "where",
  cpu: (a, b, c) => (a !== 0 ? b : c),
  arity: 3,
  types: ANY.map(([type]) => ["bool", type]),
  vjp: ([g], [condition]) => [null, condition.where(g, 0), condition.where(0, g)],
  saves: { inputs: [0] },
  inputTypes: ["bool"],
  ranges: [
    [0, 2],
    [-2, 2],
    [-2, 2],
  ],
  tolerance: EXACT,
});

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
  tolerance: EXACT,
});
