// Comparisons, tests and logic of elements, and the choice between two by a third.

import extremes from "@pkg/kernels/functions/extremes.wgsl";
import type { Tolerance } from "../../op.ts";
import type { DType } from "../../shape.ts";
import { ANY, NUMBERS } from "../../signature.ts";
import { elementwise } from "./elementwise.ts";

const EXACT: Tolerance = { ulp: 1 };

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
