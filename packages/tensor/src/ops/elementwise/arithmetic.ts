// Arithmetic between elements. Operands have equal shapes here; broadcasting is a view made before.

import extremes from "@pkg/kernels/functions/extremes.wgsl";
import type { Tolerance } from "../../op.ts";
import { NUMBERS } from "../../signature.ts";
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
