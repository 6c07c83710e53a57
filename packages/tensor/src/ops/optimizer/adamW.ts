// One AdamW update of one parameter, fused into a kernel. The optimizer, which calls it, is @pkg/nn's.

import { defineOp, float32, run } from "../../op.ts";
import { formatShape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { type AdamWAttrs, constantsOf, isScaled } from "./adamConstants.ts";
import { adamWWasm } from "./wasm.ts";
import { adamWWebgpu } from "./webgpu.ts";

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): parameter, gradient, both moments and a scalar that
 * scales the gradient (for clipping), or [3] from lossScale, → the next parameter and moments. Not differentiable: its inputs are constants to it.
 */
export const adamW = defineOp<AdamWAttrs>({
  name: "adamW",
  infer([p, g, m, v, scale]) {
    if (![g, m, v].every(({ shape }) => sameShape(shape, p.shape)) || ![1, 3].includes(sizeOf(scale.shape))) {
      const given = [p, g, m, v, scale].map(({ shape }) => formatShape(shape)).join(", ");
      throw new ShapeError(`adamW: shapes ${given}, want four equal ones and a scalar or [3]`);
    }
    return [float32(p.shape), float32(p.shape), float32(p.shape)];
  },
  inPlace: [0, 2, 3],
  cpu([p, m, v], [, g, , , scale], attrs) {
    const { step, unbias, decay, beta1, beta2, epsilon } = constantsOf(attrs, isScaled(scale));
    const [, stepBy, unbiasBy] = isScaled(scale) ? scale.data : [1, 1, 1];
    if (isScaled(scale) && scale.data[0] === 0) return;
    for (let i = 0; i < sizeOf(p.shape); i++) {
      const gradient = g.data[i] * scale.data[0];
      const first = beta1 * m.data[i] + (1 - beta1) * gradient;
      const second = beta2 * v.data[i] + (1 - beta2) * gradient * gradient;
      m.data[i] = first;
      v.data[i] = second;
      p.data[i] -= decay * p.data[i] + (step * stepBy * first) / (Math.sqrt(second) * unbias * unbiasBy + epsilon);
    }
  },
  webgpu: adamWWebgpu,
  perStep: (attrs, [, , , , scale]) => constantsOf(attrs, isScaled(scale)),
  wasm: adamWWasm,
  cases: [
    {
      inputs: [[5, 7], [5, 7], [5, 7], { shape: [5, 7], range: [0, 1] }, { shape: [], range: [0.5, 1] }],
      attrs: { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, t: 3 },
    },
    {
      inputs: [[64], [64], { shape: [64], range: [0, 0] }, { shape: [64], range: [0, 0] }, { shape: [1], values: [1] }],
      attrs: { learningRate: 2e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, t: 1 },
    },
    {
      inputs: [[33], [33], [33], { shape: [33], range: [0, 1] }, { shape: [3], values: [0.01, 5, 20] }],
      attrs: { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, t: 3 },
    },
    {
      inputs: [
        [7],
        { shape: [7], values: [1, Number.NaN, Infinity, -Infinity, 0, 1, 2] },
        [7],
        { shape: [7], range: [0, 1] },
        { shape: [3], values: [0, 1, 1] },
      ],
      attrs: { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, t: 3 },
    },
  ],
  errors: [
    {
      inputs: [[3], [4], [3], [3], []],
      attrs: { learningRate: 1, beta1: 0, beta2: 0, epsilon: 0, weightDecay: 0, t: 1 },
      error: "adamW: shapes [3], [4], [3], [3], []",
    },
  ],
  tolerance: { ulp: 16, abs: 1e-7 },
});

/** The next parameter and moments; see `adamW`. */
export function adamWStep(p: Tensor, g: Tensor, m: Tensor, v: Tensor, scale: Tensor, attrs: AdamWAttrs): Tensor[] {
  return run(adamW, [p, g, m, v, scale], attrs);
}
