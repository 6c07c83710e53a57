// noiseAdd: the forward process of diffusion, signal · x0 + noise · ε, with ε drawn inside the kernel.

import { defineOp, float32 } from "../../op.ts";
import { normals } from "../../random/distributions.ts";
import type { Draw } from "../../random/philox.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import { elementReader } from "../reference.ts";
import { noiseAddWasm } from "./wasm.ts";
import { drawParams, noiseAddWebgpu } from "./webgpu.ts";

const DRAW: Draw = { key: [0xa4093822, 0x299f31d0], index: 5 };

/**
 * x0 [batch, ...], signal [batch] and noise [batch] to signal · x0 + noise · ε and ε, both [batch, ...]. ε has the bits of
 * randomNormal for the same draw, and both results have the same bits on all float32 backends.
 */
export const noiseAdd = defineOp<Draw>({
  name: "noiseAdd",
  infer([x0, signal, noise]) {
    const { shape } = x0;
    if (shape.length === 0 || ![signal, noise].every((s) => s.shape.length === 1 && s.shape[0] === shape[0])) {
      const given = [x0, signal, noise].map((input) => formatShape(input.shape));
      throw new ShapeError(
        `noiseAdd: x0 ${given[0]}, signal ${given[1]}, noise ${given[2]}, want [batch, ...], [batch] and [batch]`,
      );
    }
    return [float32(shape), float32(shape)];
  },
  cpu([noisy, epsilon], [x0, signal, noise], draw) {
    const size = sizeOf(x0.shape);
    const row = size / x0.shape[0];
    const drawn = normals({ ...draw, scale: 1, shift: 0 }, size);
    const [x, a, s] = [x0, signal, noise].map(elementReader);
    // Float32 results have float32's roundings; a float64 one is the exact reference.
    const round = noisy.data instanceof Float64Array ? (value: number) => value : Math.fround;
    for (let i = 0; i < size; i++) {
      const b = Math.floor(i / row);
      noisy.data[noisy.offset + i] = round(a(b) * x(i)) + round(s(b) * drawn[i]);
    }
    epsilon.data.set(drawn, epsilon.offset);
  },
  webgpu: noiseAddWebgpu,
  perStep: drawParams,
  wasm: noiseAddWasm,
  // ε does not depend on the inputs, so its own cotangent goes nowhere.
  vjp([g], [x0, signal], [, epsilon], _, needed) {
    const rest = x0.shape.slice(1).map((_, k) => k + 1);
    const perSample = signal.reshape([...signal.shape, ...rest.map(() => 1)]);
    return [
      needed[0] ? g.mul(perSample) : null,
      needed[1] ? g.mul(x0).sum(rest) : null,
      needed[2] ? g.mul(epsilon).sum(rest) : null,
    ];
  },
  saves: { inputs: [0, 1], outputs: [1] },
  // Two products and a sum of numbers below 6.7, each rounded: 3 · 2⁻²⁴ · 6.7.
  tolerance: { abs: 1.2e-6 },
  cases: [
    { inputs: [[3, 5, 7], [3], [3]], attrs: DRAW },
    { inputs: [[2, 4, 33], [2], [2]], attrs: DRAW },
    { inputs: [[5], [5], [5]], attrs: { ...DRAW, index: 2 ** 40 + 1 } },
    { inputs: [[67, 3], [67], [67]], attrs: DRAW },
    { inputs: [[0, 3], [0], [0]], attrs: DRAW },
  ],
  errors: [
    { inputs: [[2, 3], [3], [2]], attrs: DRAW, error: "noiseAdd: x0 [2, 3], signal [3], noise [2]" },
    { inputs: [[], [1], [1]], attrs: DRAW, error: "noiseAdd: x0 []" },
  ],
});
