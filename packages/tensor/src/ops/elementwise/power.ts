// Powers, of tensors and of numbers as exponents: values as C99 has them for every pair of floats, and gradients at 0.

import exponents from "@pkg/kernels/functions/exponents.wgsl";
import mulHigh from "@pkg/kernels/functions/mul_high.wgsl";
import powers from "@pkg/kernels/functions/power.wgsl";
import type { Case, CaseInput, Tolerance } from "../../op.ts";
import { elementwise } from "./elementwise.ts";

// The logarithm keeps 2⁻³⁰ of the result, eʳ two roundings; one more of each factor that a small whole exponent multiplies.
const TOLERANCE: Tolerance = { ulp: 4, abs: 1e-37 };

const library = powers + exponents + mulHigh;

/** JavaScript's but for 1 to the power of NaN or ±∞ and (−1) to that of ±∞, which are 1 in C99. */
function hostPower(x: number, y: number): number {
  if (x === 1 || (x === -1 && (y === Infinity || y === -Infinity))) return 1;
  return x ** y;
}

/** 200 pairs of operands. */
function over(x: CaseInput["range"], y: CaseInput["range"]): Case<undefined> {
  return {
    inputs: [
      { shape: [200], range: x },
      { shape: [200], range: y },
    ],
  };
}

/** aᵇ. At a = 0 the derivative by b is 0 if b ≥ 0, and that by a is 0 for b = 0. */
export const pow = elementwise({
  name: "pow",
  wgsl: "power(a, b)",
  library,
  wasm: "power",
  cpu: hostPower,
  arity: 2,
  ranges: [
    [0.2, 3],
    [-2, 2],
  ],
  cases: [over([1e-3, 1e3], [-6, 6]), over([0.999, 1.001], [-8e3, 8e3])],
  vjp([g], [a, b], [y]) {
    // 0 · ∞ where the limits are 0; the operands are replaced there, so that further derivatives see no ∞ either.
    const isZero = a.equal(0);
    const slope = a.pow(isZero.logicalAnd(b.equal(0)).where(1, b).sub(1));
    const logarithm = isZero.logicalAnd(b.greaterEqual(0)).where(1, a).log();
    return [g.mul(b).mul(slope), g.mul(y).mul(logarithm)];
  },
  saves: { inputs: [0, 1], outputs: [0] },
  tolerance: TOLERANCE,
});

/** Exponents for which multiplying is shorter. */
const PRODUCTS = new Map([
  [1, "a"],
  [2, "a * a"],
  [3, "a * a * a"],
]);

/** x ** exponent with a number for the exponent; integer ones take any x. */
export const powScalar = elementwise<{ readonly exponent: number }>({
  name: "powScalar",
  wgsl: (_, { exponent }) => PRODUCTS.get(exponent) ?? "power(a, params.s0)",
  library,
  wasm: (_, { exponent }) => (exponent === 2 ? "square" : "power_of"),
  cpu: (a, _b, _c, { exponent }) => hostPower(a, exponent),
  scalars: ({ exponent }) => [exponent],
  vjp: ([g], [x], _, { exponent }) => [exponent === 0 ? null : g.mul(x.pow(exponent - 1)).mul(exponent)],
  saves: { inputs: [0] },
  ranges: [[0.2, 3]],
  attrs: [{ exponent: 2.5 }, { exponent: -1 }, { exponent: 0.5 }, { exponent: 2 }],
  cases: [
    { inputs: [{ shape: [9], range: [-2, -0.5] }], attrs: { exponent: 3 } },
    { inputs: [{ shape: [9], range: [-2, -0.5] }], attrs: { exponent: -4 } },
    { inputs: [{ shape: [200], range: [0.1, 100] }], attrs: { exponent: -12.25 } },
  ],
  tolerance: TOLERANCE,
});
