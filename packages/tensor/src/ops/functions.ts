// Functions of one element: exp, log, tanh, silu, …; each one line of WGSL, one on the host, one cotangent.

import type { Tolerance } from "../op.ts";
import { elementwise } from "./elementwise.ts";

// WGSL allows exp 3 + 2|x| ulp, and tanh and log an absolute error near 0; KERNELS' bounds for kernels built on them.
const ROUNDED: Tolerance = { ulp: 4, abs: 1e-37 };
const EXPONENTIAL: Tolerance = { ulp: 32, abs: 1e-6 };

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

export const sign = elementwise({ name: "sign", wgsl: "sign(a)", wasm: "sign", cpu: Math.sign, tolerance: ROUNDED });

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
  wgsl: "exp(a)",
  wasm: "exp",
  cpu: Math.exp,
  vjp: ([g], _, [y]) => [g.mul(y)],
  saves: { outputs: [0] },
  tolerance: EXPONENTIAL,
});

export const log = elementwise({
  name: "log",
  wgsl: "log(a)",
  wasm: "log",
  cpu: Math.log,
  vjp: ([g], [x]) => [g.div(x)],
  saves: { inputs: [0] },
  ranges: [[0.1, 4]],
  tolerance: EXPONENTIAL,
});

// Built-in sin and cos may be 2⁻¹¹ off on [−π, π]: for anything periodic use tables made on the host.
export const sin = elementwise({
  name: "sin",
  wgsl: "sin(a)",
  wasm: "sin",
  cpu: Math.sin,
  vjp: ([g], [x]) => [g.mul(x.cos())],
  saves: { inputs: [0] },
  tolerance: { abs: 2 ** -11 },
});

export const cos = elementwise({
  name: "cos",
  wgsl: "cos(a)",
  wasm: "cos",
  cpu: Math.cos,
  vjp: ([g], [x]) => [g.mul(x.sin()).neg()],
  saves: { inputs: [0] },
  tolerance: { abs: 2 ** -11 },
});

export const tanh = elementwise({
  name: "tanh",
  wgsl: "tanh(a)",
  wasm: "tanh",
  cpu: Math.tanh,
  vjp: ([g], _, [y]) => [g.mul(y.square().affine(-1, 1))],
  saves: { outputs: [0] },
  tolerance: { abs: 1e-5 },
});

export const sigmoid = elementwise({
  name: "sigmoid",
  wgsl: "1.0 / (1.0 + exp(-a))",
  wasm: "sigmoid",
  cpu: (a) => 1 / (1 + Math.exp(-a)),
  vjp: ([g], _, [y]) => [g.mul(y).mul(y.affine(-1, 1))],
  saves: { outputs: [0] },
  tolerance: EXPONENTIAL,
});

export const silu = elementwise({
  name: "silu",
  wgsl: "a / (1.0 + exp(-a))",
  wasm: "silu",
  cpu: (a) => a / (1 + Math.exp(-a)),
  vjp: ([g], [x]) => {
    const s = x.sigmoid();
    return [g.mul(s).mul(x.mul(s.affine(-1, 1)).add(1))];
  },
  saves: { inputs: [0] },
  tolerance: EXPONENTIAL,
});

export const relu = elementwise({
  name: "relu",
  wgsl: "max(a, 0.0)",
  wasm: "relu",
  cpu: (a) => Math.max(a, 0),
  vjp: ([g], [x]) => [x.greater(0).where(g, 0)],
  saves: { inputs: [0] },
  tolerance: ROUNDED,
});

export const softplus = elementwise({
  name: "softplus",
  wgsl: "max(a, 0.0) + log(1.0 + exp(-abs(a)))",
  wasm: "softplus",
  cpu: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
  vjp: ([g], [x]) => [g.mul(x.sigmoid())],
  saves: { inputs: [0] },
  tolerance: EXPONENTIAL,
});
