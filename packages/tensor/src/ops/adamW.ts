// One AdamW update of one parameter, fused into a kernel. The optimizer, which calls it, is @pkg/nn's.

import adamWKernel from "@pkg/kernels/adam_w.wgsl";
import { defineOp, float32, run } from "../op.ts";
import { formatShape, ShapeError, sameShape, sizeOf } from "../shape.ts";
import type { Tensor } from "../tensor.ts";
import { grainOf, linearGrid } from "./dispatch.ts";

/** The constants of an update, with t the number of updates including this one. */
export interface AdamWAttrs {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  readonly t: number;
}

const WORKGROUP = 64;

/**
 * Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2): parameter, gradient, both moments and a scalar that
 * scales the gradient (for clipping) → the next parameter and moments. Not differentiable: its inputs are constants to it.
 */
export const adamW = defineOp<AdamWAttrs>({
  name: "adamW",
  infer([p, g, m, v, scale]) {
    if (![g, m, v].every(({ shape }) => sameShape(shape, p.shape)) || sizeOf(scale.shape) !== 1) {
      const given = [p, g, m, v, scale].map(({ shape }) => formatShape(shape)).join(", ");
      throw new ShapeError(`adamW: shapes ${given}, want four equal ones and a scalar`);
    }
    return [float32(p.shape), float32(p.shape), float32(p.shape)];
  },
  inPlace: [0, 2, 3],
  cpu([p, m, v], [, g, , , scale], attrs) {
    const { step, unbias, decay, beta1, beta2, epsilon } = constantsOf(attrs);
    for (let i = 0; i < sizeOf(p.shape); i++) {
      const gradient = g.data[i] * scale.data[0];
      const first = beta1 * m.data[i] + (1 - beta1) * gradient;
      const second = beta2 * v.data[i] + (1 - beta2) * gradient * gradient;
      m.data[i] = first;
      v.data[i] = second;
      p.data[i] -= decay * p.data[i] + (step * first) / (Math.sqrt(second) * unbias + epsilon);
    }
  },
  gpu({ inputs: [, g, , , scale], outputs, attrs }) {
    const quads = Math.ceil(sizeOf(g.shape) / 4);
    return [
      {
        kernel: adamWKernel,
        constants: { WORKGROUP: `${WORKGROUP}u` },
        params: { quads, ...constantsOf(attrs) },
        bindings: [g, scale, ...outputs],
        workgroups: linearGrid(quads, WORKGROUP),
      },
    ];
  },
  wasm({ inputs: [, g, , , scale], outputs, attrs }) {
    const { step, unbias, decay, beta1, beta2, rest1, rest2, epsilon } = constantsOf(attrs);
    const numbers = [step, unbias, decay, beta1, beta2, rest1, rest2, epsilon];
    return [
      { kernel: "adam_w", rows: sizeOf(g.shape), grain: grainOf(1, 2), args: [...outputs, g, scale, ...numbers] },
    ];
  },
  cases: [
    {
      inputs: [[5, 7], [5, 7], [5, 7], { shape: [5, 7], range: [0, 1] }, { shape: [], range: [0.5, 1] }],
      attrs: { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.1, t: 3 },
    },
    {
      inputs: [[64], [64], { shape: [64], range: [0, 0] }, { shape: [64], range: [0, 0] }, { shape: [1], values: [1] }],
      attrs: { learningRate: 2e-4, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0, t: 1 },
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

function constantsOf({ learningRate, beta1, beta2, epsilon, weightDecay, t }: AdamWAttrs) {
  return {
    step: learningRate / (1 - beta1 ** t),
    unbias: 1 / Math.sqrt(1 - beta2 ** t),
    decay: learningRate * weightDecay,
    beta1,
    beta2,
    rest1: 1 - beta1,
    rest2: 1 - beta2,
    epsilon,
  };
}
