// The questions that `pnpm adapter` asks an adapter, a row of docs/adapters.md each.
import {
  builtInErrors,
  deviceRows,
  drawsOfTheHost,
  endedDevice,
  halves,
  outOfBounds,
  stored,
  subgroupSums,
} from "./kernelProbes.ts";
import { expressions, type Probe } from "./probe.ts";

const INFINITY = Number.POSITIVE_INFINITY;
const { NaN: NAN } = Number;

const NAN_FIRST = [[NAN, 1]];
/** Subnormal numbers may be flushed by arithmetic, never by copies. */
const SUBNORMAL = 2 ** -133;

/** The topic whose answers of one adapter differ between processors, which estimate reciprocals differently. */
export const VARYING = builtInErrors.topic;

const asNumber = (wgsl: string): string => `select(0u, 1u, ${wgsl})`;

export const probes: readonly Probe[] = [
  deviceRows,
  expressions(
    "pow",
    "A function of our own (`kernels/functions/power.wgsl`) with C99's table of values, in integers but for a polynomial.",
    {
      wgsl: "pow(a, b)",
      operands: [
        [0, 0],
        [INFINITY, 0],
        [NAN, 0],
        [1, NAN],
        [-2, 2],
        [-2, 3],
        [-2, 0.5],
        [0, -1],
        [0, 2],
        [NAN, 2],
        [2, -INFINITY],
      ],
      ours: (a, b) => a.pow(b),
      want: [1, 1, 1, 1, 4, -8, NAN, INFINITY, 0, NAN, 0],
    },
    { wgsl: "pow(a, 2.0)", operands: [[-3], [0]], ours: (a) => a.pow(2), want: [9, 0] },
  ),
  expressions(
    "exp and log",
    "Functions of our own (`kernels/functions/functions.wgsl`). They test the bits of their argument first.",
    {
      wgsl: "log(a)",
      operands: [[0], [-1], [NAN], [INFINITY]],
      ours: (a) => a.log(),
      want: [-INFINITY, NAN, NAN, INFINITY],
    },
    {
      wgsl: "exp(a)",
      operands: [[-INFINITY], [INFINITY], [NAN], [89], [-200]],
      ours: (a) => a.exp(),
      want: [0, INFINITY, NAN, INFINITY, 0],
    },
  ),
  expressions(
    "tanh",
    "A function of our own.",
    { wgsl: "tanh(a)", operands: [[100], [-100], [NAN]], ours: (a) => a.tanh(), want: [1, -1, NAN] },
    {
      wgsl: "tanh(a)",
      operands: [[1e-6]],
      exact: (a) => Math.tanh(Math.fround(a)),
      ours: (a) => a.tanh(),
      want: [Math.fround(1e-6)],
    },
  ),
  expressions(
    "sin and cos",
    "Functions of our own. They reduce their argument in integers.",
    {
      wgsl: "sin(a)",
      operands: [[3], [1e6], [1e10], [INFINITY]],
      exact: (a) => Math.sin(a),
      ours: (a) => a.sin(),
      want: [Math.sin(3), Math.sin(1e6), Math.sin(1e10), NAN],
      within: 2 ** -21,
    },
    {
      wgsl: "cos(a)",
      operands: [[3], [1e6], [1e10]],
      exact: (a) => Math.cos(a),
      ours: (a) => a.cos(),
      want: [Math.cos(3), Math.cos(1e6), Math.cos(1e10)],
      within: 2 ** -21,
    },
  ),
  builtInErrors,
  expressions(
    "roots and quotients",
    "Built-in, as they are.",
    { wgsl: "sqrt(a)", operands: [[0], [-1], [INFINITY], [NAN]], ours: (a) => a.sqrt(), want: [0, NAN, INFINITY, NAN] },
    { wgsl: "inverseSqrt(a)", operands: [[0], [-1], [INFINITY]], ours: (a) => a.rsqrt(), want: [INFINITY, NAN, 0] },
    {
      wgsl: "a / b",
      operands: [
        [1, 0],
        [-1, 0],
        [1, -0],
        [0, 0],
        [1, INFINITY],
      ],
      ours: (a, b) => a.div(b),
      want: [INFINITY, -INFINITY, -INFINITY, NAN, 0],
    },
    { wgsl: "a - b", operands: [[INFINITY, INFINITY]], ours: (a, b) => a.sub(b), want: [NAN] },
    { wgsl: "a * b", operands: [[0, INFINITY]], ours: (a, b) => a.mul(b), want: [NAN] },
  ),
  expressions(
    "comparisons with NaN",
    "Comparisons, `isNaN` and `sign` test the bits of their operands.",
    { wgsl: asNumber("a == a"), label: "a == a", operands: [[NAN]], result: "u32", ours: (a) => a.equal(a), want: [0] },
    {
      wgsl: asNumber("a != a"),
      label: "a != a",
      operands: [[NAN]],
      result: "u32",
      ours: (a) => a.notEqual(a),
      want: [1],
    },
    { wgsl: asNumber("!(a == a)"), label: "!(a == a)", operands: [[NAN]], result: "u32" },
    {
      wgsl: asNumber("a < b"),
      label: "a < b",
      operands: NAN_FIRST,
      result: "u32",
      ours: (a, b) => a.less(b),
      want: [0],
    },
    {
      wgsl: asNumber("!(a >= b)"),
      label: "!(a >= b)",
      operands: NAN_FIRST,
      result: "u32",
      ours: (a, b) => a.greaterEqual(b).logicalNot(),
      want: [1],
    },
    {
      wgsl: asNumber("(bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u"),
      label: "bits of a above those of ∞",
      operands: [[NAN], [INFINITY]],
      result: "u32",
      ours: (a) => a.isNaN(),
      want: [1, 0],
    },
    { wgsl: "sign(a)", operands: [[NAN]], ours: (a) => a.sign(), want: [NAN] },
  ),
  expressions(
    "min, max and clamp with NaN",
    "Functions of our own (`kernels/functions/extremes.wgsl`), which test the bits of both and hand on the NaN.",
    {
      wgsl: "max(a, b)",
      operands: [
        [NAN, 1],
        [1, NAN],
      ],
      ours: (a, b) => a.maximum(b),
      want: [NAN, NAN],
    },
    {
      wgsl: "min(a, b)",
      operands: [
        [NAN, 1],
        [1, NAN],
      ],
      ours: (a, b) => a.minimum(b),
      want: [NAN, NAN],
    },
    { wgsl: "clamp(a, b, c)", operands: [[NAN, 0, 1]], ours: (a) => a.clamp(0, 1), want: [NAN] },
  ),
  halves,
  {
    ...expressions(
      "fused multiply-add",
      "The bounds of `docs/numerics.md` hold for either. Random numbers, whose bits count, are made of exact products and of integers.",
      // (1 + 2⁻¹²)² − (1 + 2⁻¹¹) is 2⁻²⁴, which rounding the product first loses.
      { wgsl: "fma(a, a, b)", operands: [[1 + 2 ** -12, -1 - 2 ** -11]] },
      { wgsl: "a * a + b", operands: [[1 + 2 ** -12, -1 - 2 ** -11]] },
      { wgsl: "(a + b) - a", operands: [[1e8, 1]] },
      { wgsl: "(a * b) / b", operands: [[3e38, 10]] },
    ),
    ours: drawsOfTheHost,
  },
  expressions(
    "rounding",
    "Built-in, as they are.",
    { wgsl: "round(a)", operands: [[0.5], [1.5], [2.5]], ours: (a) => a.round(), want: [0, 2, 2] },
    { wgsl: "trunc(a)", operands: [[-0.5], [-1.5]] },
  ),
  expressions(
    "float to integer",
    "`cast` decides by the bits of the float: truncated, limited to the type's ends, 0 for NaN.",
    {
      wgsl: "i32(a)",
      operands: [[3e9], [-3e9], [NAN], [INFINITY], [-1.9]],
      result: "i32",
      ours: (a) => a.cast("int32"),
      want: [2147483647, -2147483648, 0, 2147483647, -1],
    },
    {
      wgsl: "u32(a)",
      operands: [[5e9], [-1], [NAN], [INFINITY], [1.9]],
      result: "u32",
      ours: (a) => a.cast("uint32"),
      want: [4294967295, 0, 0, 4294967295, 1],
    },
  ),
  expressions(
    "integer to float",
    "Built-in, as they are.",
    {
      wgsl: "f32(a)",
      operands: [[16777217], [2147483647]],
      type: "i32",
      result: "f32",
      ours: (a) => a.cast("float32"),
      want: [16777216, 2147483648],
    },
    {
      wgsl: "f32(a)",
      operands: [[4294967295]],
      type: "u32",
      result: "f32",
      ours: (a) => a.cast("float32"),
      want: [4294967296],
    },
  ),
  expressions(
    "integers",
    "Built-in, as they are. Arithmetic is modulo 2³².",
    {
      wgsl: "a * b",
      operands: [
        [123456789, 987654321],
        [-2147483648, -1],
      ],
      type: "i32",
      ours: (a, b) => a.mul(b),
      want: [-67153019, -2147483648],
    },
    { wgsl: "a + b", operands: [[2147483647, 1]], type: "i32", ours: (a, b) => a.add(b), want: [-2147483648] },
    {
      wgsl: "a / b",
      operands: [
        [7, 0],
        [-2147483648, -1],
      ],
      type: "i32",
    },
    { wgsl: "a % b", operands: [[7, 0]], type: "i32" },
  ),
  expressions(
    "subnormal numbers",
    "Allowed for in the tolerances: every bound of `docs/numerics.md` takes 0 for a subnormal number.",
    { wgsl: "a * b", operands: [[SUBNORMAL, 1]] },
    { wgsl: "a + b", operands: [[SUBNORMAL, SUBNORMAL]] },
    { wgsl: "a * b", operands: [[2 ** -100, 2 ** -33]] },
    { wgsl: "a", label: "copy of a", operands: [[SUBNORMAL]] },
    {
      wgsl: asNumber("a > 0.0"),
      label: "a > 0",
      operands: [[SUBNORMAL]],
      result: "u32",
      ours: (a) => a.cast("bool"),
      want: [1],
    },
  ),
  stored,
  outOfBounds,
  subgroupSums,
  endedDevice,
];
