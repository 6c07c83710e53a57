// What users are told when they call with the wrong shape, axis, type or number: every message, word for word.
import {
  addNoise,
  arange,
  concat,
  cpu,
  crossEntropy,
  dropout,
  full,
  grad,
  jvp,
  nonFiniteCount,
  ones,
  randomStream,
  ShapeError,
  stack,
  type Tensor,
  tensor,
  tidy,
  vjp,
  weightedSum,
  zeros,
} from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu();
const of = (...shape: number[]): Tensor => ones(shape, { backend });
const integers = (...values: number[]): Tensor => tensor(Int32Array.from(values), { backend });
const x = of(2, 3);
const none = of(2, 0);
const image = of(1, 4, 4, 2);
const n = integers(1, 2);
const b = x.greater(0);
const rng = randomStream(1);
const other = cpu({ precision: "float64" });

type Mistake = readonly [call: () => unknown, message: string];

/** Mistakes whose error is a ShapeError. */
const shapes: Readonly<Record<string, readonly Mistake[]>> = {
  "making tensors": [
    [() => tensor([[1], [1, 2]], { backend }), "tensor: nested arrays of shapes [1] and [2], want equal ones"],
    [() => tensor([1, 2], { backend, shape: [3] }), "tensor: 2 values for shape [3], want 3"],
    [() => full([-1], 1, { backend }), "full: shape [-1], want integers that are at least 0"],
    [() => zeros(new Array<number>(9).fill(1), { backend }), "full: rank 9, want at most 8"],
    [() => of(1, 1, 1, 1, 1, 1, 1, 1).unsqueeze(0), "reshape: rank 9, want at most 8"],
    [() => concat([x, image]), "concat: [2, 3], [1, 4, 4, 2] along axis 0, want equal shapes but for that axis"],
    [() => stack([x, of(3)]), "concat: [1, 2, 3], [1, 3] along axis 0, want equal shapes but for that axis"],
    [
      () => x.assign(of(3)),
      "assign: Tensor(float32 [3] on cpu: float32) to Tensor(float32 [2, 3] on cpu: float32), want the same shape and type",
    ],
  ],
  views: [
    [() => x.reshape([4]), "reshape: [2, 3] (6 elements) to [4], want a shape of 6 elements with at most one −1"],
    [() => x.permute([0]), "permute: axes [0] of [2, 3], want each axis once"],
    [() => x.permute([0, 2]), "permute: axes [0, 2] of [2, 3], want each axis once"],
    [() => x.transpose(0, 2), "transpose: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => x.expand([3, 3]), "expand: [2, 3] to [3, 3], want axes equal or 1, from the right"],
    [() => x.unsqueeze(4), "unsqueeze: axis 4, want an integer in [-3, 2] for rank 3"],
    [() => x.squeeze(0), "squeeze: axis 0 of [2, 3], want an axis of size 1"],
    [() => x.slice(2), "slice: index 2 of axis 0, want an integer in [-2, 1]"],
    [() => x.flip(2), "flip: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => x.pad([[1, 1]]), "pad: amounts [[1,1]] for [2, 3], want two integers ≥ 0 per axis"],
    [() => x.split([1, 1], 1), "split: sizes [1,1] of an axis of 3, want integers that add up to it"],
    [() => x.flatten(0, 2), "flatten: axis 2, want an integer in [-2, 1] for rank 2"],
  ],
  elements: [
    [() => x.add(of(4)), "add: [2, 3] and [4] do not broadcast, want equal axes (or 1) from the right"],
    [() => x.where(of(4), 0), "where: [2, 3] and [4] do not broadcast, want equal axes (or 1) from the right"],
    [() => x.lerp(of(3), 0.5), "lerp: [2, 3] and [3], want equal shapes"],
  ],
  axes: [
    [() => x.sum(2), "sum: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => x.sum([0, 0]), "sum: axes [0, 0] repeat one, want distinct axes"],
    [() => x.mean(0.5), "mean: axis 0.5, want an integer in [-2, 1] for rank 2"],
    [() => none.max(1), "max: axes [1] of [2, 0], want at least one element"],
    [() => x.argmax(2), "argmax: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => none.argmax(), "argmax: axis 1 of [2, 0], want at least one element"],
    [() => none.argmin(), "argmin: axis 1 of [2, 0], want at least one element"],
    [() => x.cumsum(-3), "cumsum: axis -3, want an integer in [-2, 1] for rank 2"],
    [() => x.sort(2), "sort: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => none.quantile(0.5), "quantile: shape [2, 0], want at least one element"],
    [() => x.quantile(0.5, 2), "quantile: axis 2, want an integer in [-2, 1] for rank 2"],
    [() => none.softmax(), "softmax: shape [2, 0], want a last axis of at least one element"],
    [() => x.logSumExp(3), "logSumExp: axis 3, want an integer in [-2, 1] for rank 2"],
    [() => x.variance([1, 1]), "variance: axes [1, 1] repeat one, want distinct axes"],
    [() => x.std(-3), "std: axis -3, want an integer in [-2, 1] for rank 2"],
    [() => x.norm(2), "norm: axis 2, want an integer in [-2, 1] for rank 2"],
  ],
  indices: [
    [() => x.sum().gather(n), "gather: table [], want [rows, ...]"],
    [() => x.gatherAlong(n), "gatherAlong: x [2, 3], indices [2] along axis 1, want equal shapes but for that axis"],
    [
      () => x.scatterAlong(integers(0, 0).reshape([2, 1]), 3),
      "scatterAlong: values [2, 3], indices [2, 1], want equal shapes",
    ],
    [() => crossEntropy(x, [0]), "crossEntropy: 1 labels for [2], want 2"],
    [() => crossEntropy(x, x), "crossEntropy: logits [2, 3], labels float32 [2, 3], want int32 [2]"],
    [() => crossEntropy(of(), []), "crossEntropy: logits [], want [..., classes]"],
  ],
  layers: [
    [() => x.matmul(x), "matmul: [2, 3] × [2, 3], want [m, k] × [k, n]"],
    [() => x.matmul(of(3)), "matmul: [2, 3] × [3], want at least two axes on both sides"],
    [() => x.attention(of(4), x), "attention: q [2, 3], k [4], v [2, 3], want at least two axes"],
    [() => x.upsampleNearest(2), "upsampleNearest: shape [2, 3], want [batch, height, width, channels]"],
    [
      () => image.maxPool(5),
      "maxPool: windows of 5 × 5 in steps of 5 × 5 over 4 × 4 with padding 0 × 0, want at least one",
    ],
    [
      () => image.groupNorm(of(2), of(2), { groups: 3 }),
      "groupNorm: 3 groups of [1, 4, 4, 2] with scale [2] and bias [2], want [batch, ..., channels], scale and bias [channels], and groups that divide them",
    ],
    [
      () => addNoise(x, of(3), of(2), rng),
      "noiseAdd: x0 [2, 3], signal [3], noise [2], want [batch, ...], [batch] and [batch]",
    ],
  ],
  differentiation: [
    [() => grad((v) => v, [x]), "grad: the function's result has shape [2, 3], want one element (sum it)"],
    [() => vjp((v) => v.mul(2), [x]).pullback(of(2)), "vjp: cotangent has shape [2], want [2, 3]"],
    [() => jvp((v) => v, [x], [of(3)]), "jvp: tangent has shape [3], want [2, 3]"],
  ],
};

/** Mistakes of type or number. */
const others: Readonly<Record<string, readonly Mistake[]>> = {
  types: [
    [() => x.add(n.slice(0)), "add: types float32, int32, want float32 or int32 or uint32, all equal"],
    [() => b.add(b), "add: types bool, bool, want float32 or int32 or uint32, all equal"],
    [() => n.exp(), "exp: types int32, want float32"],
    [() => n.isFinite(), "isFinite: types int32, want float32"],
    [() => x.logicalAnd(b), "logicalAnd: types float32, bool, want bool"],
    [() => n.logicalNot(), "logicalNot: types int32, want bool"],
    [
      () => x.where(1, 0),
      "where: types float32, float32, float32, want bool, float32, float32 or bool, int32, int32 or bool, uint32, uint32 or bool, bool, bool",
    ],
    [() => n.sum(), "sum: types int32, want float32"],
    [() => n.cumsum(0), "cumsum: types int32, want float32"],
    [() => n.sort(), "sort: types int32, want float32"],
    [() => n.softmax(), "softmax: types int32, want float32"],
    [() => x.oneHot(3), "oneHot: types float32, want int32"],
    [
      () => x.gather(of(2)),
      'gather: indices is Tensor(float32 [2] on cpu: float32), want a tensor of int32, such as tensor([0, 2], { dtype: "int32" })',
    ],
    [
      () => x.gather([0] as never),
      'gather: indices is a list of 1, want a tensor of int32, such as tensor([0, 2], { dtype: "int32" })',
    ],
    [
      () => x.scatterAdd(b, 2),
      'scatterAdd: indices is Tensor(bool [2, 3] on cpu: float32), want a tensor of int32, such as tensor([0, 2], { dtype: "int32" })',
    ],
    [
      () => x.gatherAlong(tensor([[0], [1]], { backend: other, dtype: "int32" })),
      "gatherAlong: indices is Tensor(int32 [2, 1] on cpu: float64), want a tensor on cpu: float32",
    ],
    [() => n.reshape([1, 2]).matmul(n.reshape([2, 1])), "matmul: types int32, int32, want float32"],
    [() => grad((v) => v.sum().cast("int32"), [x]), "grad: the function's result is int32, want float32"],
  ],
  numbers: [
    [() => concat([]), "concat: no tensors, want at least one"],
    [() => nonFiniteCount([]), "nonFiniteCount: no tensors, want at least one"],
    [() => weightedSum([], []), "weightedSum: no tensors, want at least one"],
    [() => weightedSum([x], [1 / 0]), "weightedSum: weights[0] is Infinity, want finite numbers"],
    [() => weightedSum([x, x], [1]), "weightedSum: 1 weights for 2 tensors, want one each"],
    [
      () => arange(0, 1, { backend, step: 0 }),
      "arange: from 0 to 1 in steps of 0, want finite bounds and a step that is not 0",
    ],
    [() => x.clamp(1, 0), "clamp: from 1 to 0, want lo ≤ hi"],
    [() => x.clamp(Number.NaN, 0), "clamp: from NaN to 0, want lo ≤ hi"],
    [() => x.quantile(1.5), "quantile: q is 1.5, want a number in [0, 1]"],
    [() => crossEntropy(x, [0, 3]), "crossEntropy: label 3, want an integer from 0 to 2"],
    [() => crossEntropy(x, [0, 0.5]), "crossEntropy: label 0.5, want an integer from 0 to 2"],
    [() => n.oneHot(0), "oneHot: depth 0, want an integer above 0"],
    [() => dropout(x, 1, rng), "dropout: rate 1, want it in [0, 1)"],
    [() => tidy(async () => x), "tidy: the function is async, want one that returns its tensors"],
    [
      () =>
        grad(
          (v) => {
            x.assign(v.mul(2));
            return v.sum();
          },
          [x],
        ),
      "assign: called inside a function that is being differentiated, want it outside",
    ],
  ],
};

const listed = (groups: typeof shapes) =>
  Object.entries(groups).flatMap(([group, mistakes]) => mistakes.map(([call, message]) => ({ group, call, message })));

describe("mistakes of shape", () => {
  test.each(listed(shapes))("$group: $message", ({ call, message }) => {
    expect(call).toThrow(new ShapeError(message));
    expect(call).toThrow(ShapeError);
  });
});

describe("mistakes of type or number", () => {
  test.each(listed(others))("$group: $message", ({ call, message }) => {
    expect(call).toThrow(new Error(message));
    expect(call).not.toThrow(ShapeError);
  });
});
