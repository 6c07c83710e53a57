// A sum of scaled tensors in one pass. Steps of samplers are made of it.

import { expectList, expectTensors } from "../../argument.ts";
import { type Case, defineOp, float32, run } from "../../op.ts";
import { formatShape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { elementReader } from "../reference.ts";
import { sumWeightedWasm } from "./wasm.ts";
import { sumWeightedWebgpu, weightParams } from "./webgpu.ts";

/** The attributes of `sumWeighted`: one weight per input. */
export interface SumWeightedAttrs {
  readonly weights: readonly number[];
}

/** Σ weight_k · input_k, added in the order of k. */
export const sumWeighted = defineOp<SumWeightedAttrs>({
  name: "weightedSum",
  infer(inputs, { weights }) {
    if (weights.length !== inputs.length)
      throw new Error(`weightedSum: ${weights.length} weights for ${inputs.length} tensors, want one each`);
    const [{ shape }] = inputs;
    if (!inputs.every((input) => sameShape(input.shape, shape))) {
      throw new ShapeError(
        `weightedSum: ${inputs.map((input) => formatShape(input.shape)).join(" and ")}, want equal shapes`,
      );
    }
    return [float32(shape)];
  },
  cpu([out], inputs, { weights }) {
    const readers = inputs.map(elementReader);
    for (let i = 0; i < sizeOf(out.shape); i++) {
      out.data[out.offset + i] = readers.reduce((sum, read, k) => sum + weights[k] * read(i), 0);
    }
  },
  webgpu: sumWeightedWebgpu,
  perStep: (attrs, _, call) => weightParams(attrs, call),
  wasm: sumWeightedWasm,
  vjp: ([g], inputs, _, attrs) => inputs.map((_, k) => weightedSum([g], [attrs.weights[k]])),
  saves: {},
  cases: [
    caseOf([3, 5, 7], [0.7]),
    caseOf([64], [-0.3, 1]),
    caseOf([2, 33], [0.5, -0.9, 0.1]),
    caseOf([], [1, -1, 0.25, 0.4]),
    caseOf([4, 4, 3], [0.2, 0.4, -0.6, 0.8, -1]),
    caseOf([9], [1, -1, 1, -1, 1, -1]),
    caseOf([67, 3], [0.1, -0.2, 0.3, -0.4, 0.5, -0.6, 0.7]),
    caseOf([0, 3], [1, 2]),
    caseOf([5], [0.5, -0.5, 0.4, -0.4, 0.3, -0.3, 0.2, -0.2]),
    caseOf(
      [3, 11],
      Array.from({ length: 20 }, (_, k) => (k % 2 === 0 ? 0.1 : -0.07)),
    ),
  ],
  errors: [
    { inputs: [[3], [2]], attrs: { weights: [1, 1] }, error: "weightedSum: [3] and [2], want equal shapes" },
    { inputs: [[3], [3]], attrs: { weights: [1] }, error: "weightedSum: 1 weights for 2 tensors, want one each" },
    {
      inputs: [{ shape: [3], dtype: "int32" }],
      attrs: { weights: [1] },
      error: "weightedSum: types int32, want float32",
    },
  ],
  // At most 7 products of numbers up to 1: the roundings of weights and products and of 6 sums up to 7, (7 + 7 + 42) · 2⁻²⁴.
  // Of more, with weights of 0.35 and 0.09 on average, less.
  tolerance: { abs: 3.4e-6 },
});

/**
 * Σ weight_k · tensor_k in one pass, added in the order of k.
 * @param tensors at least one, of one shape, float32
 * @param weights one per tensor
 * @throws Error for another number of tensors or weights, and weights that are not finite; ShapeError when shapes differ
 */
export function weightedSum(tensors: readonly Tensor[], weights: readonly number[]): Tensor {
  expectTensors("weightedSum", "tensors", tensors);
  if (tensors.length === 0) throw new Error("weightedSum: no tensors, want at least one");
  return run(sumWeighted, tensors, { weights: checked(weights) })[0];
}

function checked(weights: readonly number[]): readonly number[] {
  expectList("weightedSum", "weights", weights, "a list of numbers");
  const wrong = weights.findIndex((weight) => !Number.isFinite(weight));
  if (wrong !== -1) throw new Error(`weightedSum: weights[${wrong}] is ${weights[wrong]}, want finite numbers`);
  return weights;
}

/** Inputs in [−1, 1]. */
function caseOf(shape: readonly number[], weights: readonly number[]): Case<SumWeightedAttrs> {
  return { inputs: weights.map(() => shape), attrs: { weights } };
}
