// Functions of one element: exp, log, tanh, silu, …; each one line of WGSL, one on the host, one cotangent.

import exponents from "@pkg/kernels/functions/exponents.wgsl";
import functions from "@pkg/kernels/functions/functions.wgsl";
import mulHigh from "@pkg/kernels/functions/mul_high.wgsl";
import type { Case, Tolerance } from "../../op.ts";
import { elementwise } from "./elementwise.ts";
import { erfc, erf as hostErf, logNormalDistribution } from "./errorFunction.ts";

const library = functions + exponents + mulHigh;

// Subnormal numbers may be flushed to zero.
const SMALLEST = 1e-37;
const ROUNDED: Tolerance = { ulp: 4, abs: SMALLEST };
// What the library's polynomials keep; then those divided by something, which may cost 2.5 ulp (5 · 2⁻²⁴ here) by itself.
const POLYNOMIAL: Tolerance = { ulp: 4, abs: SMALLEST };
const QUOTIENT: Tolerance = { ulp: 12, abs: SMALLEST };

/** 200 elements over a range: a polynomial's worst place is seldom among the few elements of the other cases. */
function over<Attrs = undefined>(lo: number, hi: number, attrs?: Attrs): Case<Attrs> {
  return { inputs: [{ shape: [200], range: [lo, hi] }], attrs };
}

export const square = elementwise({
  name: "square",
  wgsl: "a * a",
  wasm: "square",
  cpu: (a) => a * a,
  vjp: ([g], [x]) => [g.mul(x).mul(2)],
  saves: { inputs: [0] },
  tolerance: ROUNDED,
});

export const abs = elementwise({
  name: "abs",
  wgsl: "abs(a)",
  wasm: "abs",
  cpu: Math.abs,
  vjp: ([g], [x]) => [g.mul(x.sign())],
  saves: { inputs: [0] },
  tolerance: ROUNDED,
});

export const sign = elementwise({
  name: "sign",
  wgsl: "select(sign(a), a, is_nan(a))",
  library,
  wasm: "sign",
  cpu: Math.sign,
  tolerance: ROUNDED,
});

const HALVES: Case<undefined> = { inputs: [{ shape: [7], values: [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388609] }] };

export const floor = elementwise({
  name: "floor",
  wgsl: "floor(a)",
  wasm: "floor",
  cpu: Math.floor,
  cases: [HALVES],
  tolerance: { ulp: 0 },
});

export const ceil = elementwise({
  name: "ceil",
  wgsl: "ceil(a)",
  wasm: "ceil",
  cpu: Math.ceil,
  cases: [HALVES],
  tolerance: { ulp: 0 },
});

/** To the nearest integer, halves to the even one. */
export const round = elementwise({
  name: "round",
  wgsl: "round(a)",
  wasm: "round",
  cpu: (a) => (Math.abs(a % 1) === 0.5 ? 2 * Math.round(a / 2) : Math.round(a)),
  cases: [HALVES],
  tolerance: { ulp: 0 },
});

export const sqrt = elementwise({
  name: "sqrt",
  wgsl: "sqrt(a)",
  wasm: "sqrt",
  cpu: Math.sqrt,
  vjp: ([g], _, [y]) => [g.div(y).mul(0.5)],
  saves: { outputs: [0] },
  ranges: [[0.1, 4]],
  tolerance: ROUNDED,
});

export const rsqrt = elementwise({
  name: "rsqrt",
  wgsl: "inverseSqrt(a)",
  wasm: "rsqrt",
  cpu: (a) => 1 / Math.sqrt(a),
  vjp: ([g], _, [y]) => [g.mul(y.mul(y).mul(y)).mul(-0.5)],
  saves: { outputs: [0] },
  ranges: [[0.1, 4]],
  tolerance: ROUNDED,
});

export const exp = elementwise({
  name: "exp",
  wgsl: "exponential(a)",
  library,
  wasm: "exp",
  cpu: Math.exp,
  vjp: ([g], _, [y]) => [g.mul(y)],
  saves: { outputs: [0] },
  cases: [over(-85, 80)],
  tolerance: POLYNOMIAL,
});

/** eˣ − 1. */
export const expm1 = elementwise({
  name: "expm1",
  wgsl: "exponential_minus_1(a)",
  library,
  wasm: "expm1",
  cpu: Math.expm1,
  vjp: ([g], [x]) => [g.mul(x.exp())], // y + 1 has no digits left where y is near −1
  saves: { inputs: [0] },
  cases: [over(-1e-3, 1e-3), over(-20, 80)],
  tolerance: POLYNOMIAL,
});

export const log = elementwise({
  name: "log",
  wgsl: "logarithm(a)",
  library,
  wasm: "log",
  cpu: Math.log,
  vjp: ([g], [x]) => [g.div(x)],
  saves: { inputs: [0] },
  ranges: [[0.1, 4]],
  cases: [over(0.999, 1.001), over(1e-3, 1e6)],
  tolerance: POLYNOMIAL,
});

/** log(1 + x). */
export const log1p = elementwise({
  name: "log1p",
  wgsl: "logarithm_of_1_plus(a)",
  library,
  wasm: "log1p",
  cpu: Math.log1p,
  vjp: ([g], [x]) => [g.div(x.add(1))],
  saves: { inputs: [0] },
  ranges: [[-0.9, 3]],
  cases: [over(-1e-3, 1e-3), over(-0.5, 1e4)],
  tolerance: POLYNOMIAL,
});

// The reduced argument has four roundings, the polynomial two more.
const PERIODIC: Tolerance = { ulp: 8, abs: SMALLEST };

export const sin = elementwise({
  name: "sin",
  wgsl: "sine(a, 0)",
  library,
  wasm: "sin",
  cpu: Math.sin,
  vjp: ([g], [x]) => [g.mul(x.cos())],
  saves: { inputs: [0] },
  cases: [over(-10, 10), over(-1e6, 1e6)],
  tolerance: PERIODIC,
});

export const cos = elementwise({
  name: "cos",
  wgsl: "sine(a, 1)",
  library,
  wasm: "cos",
  cpu: Math.cos,
  vjp: ([g], [x]) => [g.mul(x.sin()).neg()],
  saves: { inputs: [0] },
  cases: [over(-10, 10), over(-1e6, 1e6)],
  tolerance: PERIODIC,
});

export const tanh = elementwise({
  name: "tanh",
  wgsl: "hyperbolic_tangent(a)",
  library,
  wasm: "tanh",
  cpu: Math.tanh,
  vjp: ([g], _, [y]) => [g.mul(y.square().affine(-1, 1))],
  saves: { outputs: [0] },
  cases: [over(-1e-3, 1e-3), over(-50, 50)],
  tolerance: QUOTIENT,
});

/** 2/√π ∫₀ˣ e^(−u²) du. */
export const erf = elementwise({
  name: "erf",
  wgsl: "error_function(a)",
  library,
  wasm: "erf",
  cpu: hostErf,
  vjp: ([g], [x]) => [g.mul(x.square().neg().exp()).mul(2 / Math.sqrt(Math.PI))],
  saves: { inputs: [0] },
  cases: [over(-1e-3, 1e-3), over(-5, 5)],
  tolerance: QUOTIENT,
});

export const sigmoid = elementwise({
  name: "sigmoid",
  wgsl: "logistic(a)",
  library,
  wasm: "sigmoid",
  cpu: (a) => 1 / (1 + Math.exp(-a)),
  // 1 − y has no digits left where y is near 1; sigmoid(−x) has all.
  vjp: ([g], [x], [y]) => [g.mul(y).mul(x.neg().sigmoid())],
  saves: { inputs: [0], outputs: [0] },
  cases: [over(-100, 100)],
  tolerance: QUOTIENT,
});

export const silu = elementwise({
  name: "silu",
  wgsl: "a * logistic(a)",
  library,
  wasm: "silu",
  cpu: (a) => a / (1 + Math.exp(-a)),
  vjp: ([g], [x]) => {
    const s = x.sigmoid();
    return [g.mul(s).mul(x.mul(s.affine(-1, 1)).add(1))];
  },
  saves: { inputs: [0] },
  cases: [over(-100, 100)],
  tolerance: QUOTIENT,
});

/** x · Φ(x), Φ the standard normal distribution: (1 + erf(x / √2)) / 2 (Hendrycks & Gimpel 2016). */
export const gelu = elementwise({
  name: "gelu",
  wgsl: "a * normal_distribution(a)",
  library,
  wasm: "gelu",
  cpu: (a) => 0.5 * a * erfc(-a * Math.SQRT1_2),
  vjp: ([g], [x]) => {
    const distribution = x.logNdtr().exp(); // (1 + erf(x / √2)) / 2 loses the digits of its lower tail
    const density = x
      .square()
      .mul(-0.5)
      .exp()
      .mul(1 / Math.sqrt(2 * Math.PI));
    return [g.mul(distribution.add(x.mul(density)))];
  },
  saves: { inputs: [0] },
  cases: [over(-5, 5)],
  // Rounding x² changes e^(−x²/2) by x²/2 · 2⁻²⁴ of itself, 12.5 at x = 5; to that, a quotient's 12 and 8 for the other factors.
  tolerance: { ulp: 36, abs: SMALLEST },
});

/** x · sigmoid(2u) = x · (1 + tanh u) / 2, u = √(2/π) (x + 0.044715 x³): GELU with Φ approximated, within 5e-4. */
export const geluTanh = elementwise({
  name: "geluTanh",
  wgsl: `a * logistic(${2 * Math.sqrt(2 / Math.PI)} * a * fma(0.044715 * a, a, 1.0))`,
  library,
  wasm: "gelu_tanh",
  cpu: (a) => a / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))),
  vjp: ([g], [x]) => {
    const slope = 2 * Math.sqrt(2 / Math.PI);
    // From 20 on the sigmoid is 0 or 1 to any precision, while x² may be infinite.
    const near = x.clamp(-20, 20);
    const twice = near.add(near.mul(near.square()).mul(0.044715)).mul(slope);
    const inner = near
      .square()
      .affine(3 * 0.044715, 1)
      .mul(slope);
    return [g.mul(twice.sigmoid()).mul(near.mul(twice.neg().sigmoid()).mul(inner).add(1))];
  },
  saves: { inputs: [0] },
  cases: [over(-5, 5)],
  // The sigmoid's argument, at most 17 here, has five roundings, and its error is the result's relative error.
  tolerance: { ulp: 96, abs: SMALLEST },
});

/** log Φ(x), Φ the standard normal distribution. */
export const logNdtr = elementwise({
  name: "logNdtr",
  wgsl: "log_normal_distribution(a)",
  library,
  wasm: "log_ndtr",
  cpu: logNormalDistribution,
  vjp: ([g], [x], [y]) => {
    // φ(x) / Φ(x); where both of the exponent's terms are large, by its asymptotic series in 1 / x².
    const ratio = x
      .square()
      .mul(-0.5)
      .sub(y)
      .minimum(4)
      .exp()
      .mul(1 / Math.sqrt(2 * Math.PI));
    const far = x.minimum(-20);
    const inverse = far.pow(-2);
    const series = inverse.mul(inverse.mul(inverse.affine(10, -2)).add(1)).add(1);
    return [g.mul(x.less(-20).where(far.neg().mul(series), ratio))];
  },
  saves: { inputs: [0], outputs: [0] },
  cases: [over(-6, 5), over(-1000, -21)],
  // As gelu's 36 for x up to 5, and log1p's 4.
  tolerance: { ulp: 40, abs: SMALLEST },
});

export const relu = elementwise({
  name: "relu",
  // The bits of negative numbers and −∞, which those of NaN are not among.
  wgsl: "select(a, 0.0, bitcast<u32>(a) - 0x80000001u < 0x7f800000u)",
  wasm: "relu",
  cpu: (a) => Math.max(a, 0),
  vjp: ([g], [x]) => [x.greater(0).where(g, 0)],
  saves: { inputs: [0] },
  tolerance: ROUNDED,
});

/** log(1 + eˣ). */
export const softplus = elementwise({
  name: "softplus",
  wgsl: "soft_plus(a)",
  library,
  wasm: "softplus",
  cpu: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  vjp: ([g], [x]) => [g.mul(x.sigmoid())],
  saves: { inputs: [0] },
  cases: [over(-80, 80)],
  tolerance: QUOTIENT,
});
