// Two-dimensional convolution and its transposes: the faces of one trilinear form in an image, a weight and a gradient.

import { defineOp, float32, type Op } from "../../op.ts";
import { formatShape, type Shape, ShapeError, sameShape, sizeOf } from "../../shape.ts";
import { rowMajor } from "../reference.ts";
import {
  type ConvAttrs,
  type ConvOptions,
  convAttrs,
  convShape,
  eachTap,
  type InputAttrs,
  type WeightAttrs,
} from "./convShape.ts";
import { convInputWasm, convWasm, convWeightWasm } from "./wasm.ts";
import { convInputWebgpu, convWebgpu, convWeightWebgpu } from "./webgpu.ts";

const PLAIN = convAttrs([], [], {});

/** Images, weights and options from which the cases of all three ops are made. */
const GIVEN: readonly (readonly [x: Shape, w: Shape, options: ConvOptions])[] = [
  [[1, 1, 1, 1], [1, 1, 1, 1], {}],
  [[2, 5, 4, 1], [3, 3, 1, 33], { padding: "same" }],
  [[1, 7, 6, 8], [3, 3, 8, 4], { padding: 1, stride: 2 }],
  [
    [1, 5, 7, 3],
    [2, 2, 3, 8],
    {
      padding: [
        [0, 1],
        [2, 0],
      ],
      stride: [2, 1],
      dilation: [1, 2],
    },
  ],
  [[1, 4, 3, 33], [2, 2, 33, 3], { padding: "same" }],
  [[1, 3, 4, 9], [2, 3, 3, 6], { padding: [0, 1], stride: [1, 2], groups: 3 }],
  [[0, 3, 3, 2], [3, 3, 2, 2], { padding: 1 }],
  // Pixels of the image that no tap meets, and taps that meet every other or no class of them.
  [[2, 7, 6, 4], [2, 3, 4, 5], { stride: [3, 2], dilation: [1, 2], padding: 1 }],
  [[1, 4, 5, 3], [1, 1, 3, 4], { stride: 2 }],
];
const CASES = GIVEN.map(([x, w, options]) => {
  const attrs = convAttrs(x, w, options);
  return { x, w, y: convShape("conv2d", x, w, attrs), attrs };
});

/**
 * y[b, y, x, o] = Σ x[b, place(y, x, tap), i] · w[tap, i, o] + bias[b, y, x, o]: [batch, height, width, in] ∗ [kh, kw, in / groups, out].
 * The bias may be left out; Tensor.conv2d stretches it to the result as a view.
 */
export const conv2d: Op<ConvAttrs> = defineOp<ConvAttrs>({
  name: "conv2d",
  infer([x, w, ...bias], attrs) {
    const shape = convShape("conv2d", x.shape, w.shape, attrs);
    for (const { shape: given } of bias) {
      if (!sameShape(given, shape)) {
        throw new ShapeError(`conv2d: bias ${formatShape(given)}, want ${formatShape(shape)}`);
      }
    }
    return [float32(shape)];
  },
  cpu([out], [x, w, bias], attrs) {
    const [image, weight, result] = [rowMajor(x), rowMajor(w), new Float64Array(sizeOf(out.shape))];
    if (bias) result.set(rowMajor(bias));
    const [, , channels, outChannels] = w.shape;
    const count = outChannels / attrs.groups;
    eachTap(x.shape, w.shape, out.shape, attrs, (from, tap, to) => {
      for (let i = 0; i < channels; i++) {
        const factor = image[from + i];
        const row = tap + i * outChannels;
        for (let o = 0; o < count; o++) result[to + o] += factor * weight[row + o];
      }
    });
    out.data.set(result, out.offset);
  },
  strided: true,
  webgpu: convWebgpu,
  wasm: convWasm,
  vjp: ([g], [x, w], _, attrs, needed) => [
    needed[0] ? g.apply(conv2dInput, [g, w], { ...attrs, inputShape: x.shape })[0] : null,
    needed[1] ? g.apply(conv2dWeight, [x, g], { ...attrs, kernelSize: [w.shape[0], w.shape[1]] })[0] : null,
    ...needed.slice(2).map(() => g),
  ],
  saves: { inputs: [0, 1] },
  cases: [
    ...CASES.map(({ x, w, attrs }) => ({ inputs: [x, w], attrs })),
    ...CASES.map(({ x, w, y, attrs }) => ({ inputs: [x, w, y], attrs })),
  ],
  errors: [
    {
      inputs: [
        [1, 4, 4, 3],
        [3, 3, 3, 8],
        [1, 2, 2, 1],
      ],
      attrs: PLAIN,
      error: "conv2d: bias [1, 2, 2, 1], want [1, 2, 2, 8]",
    },
    {
      inputs: [
        [1, 4, 4, 3],
        [3, 3, 4, 8],
      ],
      attrs: PLAIN,
      error:
        "conv2d: [1, 4, 4, 3] ∗ [3, 3, 4, 8] in 1 group, want [batch, height, width, in] ∗ [kh, kw, in / groups, out]",
    },
    {
      inputs: [
        [1, 4, 4, 2],
        [5, 3, 2, 8],
      ],
      attrs: PLAIN,
      error: "conv2d: [1, 4, 4, 2] ∗ [5, 3, 2, 8]: 5 × 3 pixels under the kernel of 4 × 4",
    },
  ],
  tolerance: { terms: ([, [kh, kw, channels]]) => kh * kw * channels, relL2: 2e-6 },
});

/** The image's cotangent of conv2d, from the result's and the weight: convolution transposed. */
export const conv2dInput: Op<InputAttrs> = defineOp<InputAttrs>({
  name: "conv2dInput",
  infer([g, w], attrs) {
    const { inputShape } = attrs;
    const wanted = convShape("conv2dInput", inputShape, w.shape, attrs);
    if (!sameShape(wanted, g.shape)) {
      throw new ShapeError(
        `conv2dInput: gradient ${formatShape(g.shape)} of ${formatShape(inputShape)} ∗ ${formatShape(w.shape)}, want ${formatShape(wanted)}`,
      );
    }
    return [float32(inputShape)];
  },
  cpu([out], [g, w], attrs) {
    const [gradient, weight, result] = [rowMajor(g), rowMajor(w), new Float64Array(sizeOf(out.shape))];
    const [, , channels, outChannels] = w.shape;
    const count = outChannels / attrs.groups;
    eachTap(out.shape, w.shape, g.shape, attrs, (to, tap, from) => {
      for (let i = 0; i < channels; i++) {
        const row = tap + i * outChannels;
        let sum = 0;
        for (let o = 0; o < count; o++) sum += gradient[from + o] * weight[row + o];
        result[to + i] += sum;
      }
    });
    out.data.set(result, out.offset);
  },
  strided: true,
  webgpu: convInputWebgpu,
  wasm: convInputWasm,
  vjp: ([u], [g, w], _, attrs, needed) => [
    needed[0] ? u.apply(conv2d, [u, w], attrs)[0] : null,
    needed[1] ? u.apply(conv2dWeight, [u, g], { ...attrs, kernelSize: [w.shape[0], w.shape[1]] })[0] : null,
  ],
  saves: { inputs: [0, 1] },
  cases: CASES.map(({ x, w, y, attrs }) => ({ inputs: [y, w], attrs: { ...attrs, inputShape: x } })),
  errors: [
    {
      inputs: [
        [1, 4, 4, 8],
        [3, 3, 2, 8],
      ],
      attrs: { ...PLAIN, inputShape: [1, 4, 4, 2] },
      error: "conv2dInput: gradient [1, 4, 4, 8] of [1, 4, 4, 2] ∗ [3, 3, 2, 8], want [1, 2, 2, 8]",
    },
  ],
  tolerance: { terms: ([, [kh, kw, , outChannels]]) => kh * kw * outChannels, relL2: 2e-6 },
});

/** The weight's cotangent of conv2d, from the image and the result's cotangent. */
export const conv2dWeight: Op<WeightAttrs> = defineOp<WeightAttrs>({
  name: "conv2dWeight",
  infer([x, g], attrs) {
    const { kernelSize, groups } = attrs;
    const shape = [...kernelSize, x.shape[3] / groups, g.shape[3]];
    const wanted = convShape("conv2dWeight", x.shape, shape, attrs);
    if (!sameShape(wanted, g.shape)) {
      throw new ShapeError(
        `conv2dWeight: gradient ${formatShape(g.shape)} of ${formatShape(x.shape)} ∗ ${formatShape(shape)}, want ${formatShape(wanted)}`,
      );
    }
    return [float32(shape)];
  },
  cpu([out], [x, g], attrs) {
    const [image, gradient, result] = [rowMajor(x), rowMajor(g), new Float64Array(sizeOf(out.shape))];
    const [, , channels, outChannels] = out.shape;
    const count = outChannels / attrs.groups;
    eachTap(x.shape, out.shape, g.shape, attrs, (from, tap, at) => {
      for (let i = 0; i < channels; i++) {
        const factor = image[from + i];
        const row = tap + i * outChannels;
        for (let o = 0; o < count; o++) result[row + o] += factor * gradient[at + o];
      }
    });
    out.data.set(result, out.offset);
  },
  strided: true,
  webgpu: convWeightWebgpu,
  wasm: convWeightWasm,
  vjp: ([v], [x, g], _, attrs, needed) => [
    needed[0] ? v.apply(conv2dInput, [g, v], { ...attrs, inputShape: x.shape })[0] : null,
    needed[1] ? v.apply(conv2d, [x, v], attrs)[0] : null,
  ],
  saves: { inputs: [0, 1] },
  cases: CASES.map(({ x, w, y, attrs }) => ({ inputs: [x, y], attrs: { ...attrs, kernelSize: [w[0], w[1]] } })),
  errors: [
    {
      inputs: [
        [1, 4, 4, 2],
        [1, 4, 4, 8],
      ],
      attrs: { ...PLAIN, kernelSize: [3, 3] },
      error: "conv2dWeight: gradient [1, 4, 4, 8] of [1, 4, 4, 2] ∗ [3, 3, 2, 8], want [1, 2, 2, 8]",
    },
  ],
  tolerance: { terms: ([, [batch, height, width]]) => batch * height * width, relL2: 5e-6 },
});
