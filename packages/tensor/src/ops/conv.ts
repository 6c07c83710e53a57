// Two-dimensional convolution and its transposes: the faces of one trilinear form in an image, a weight and a gradient.

import { defineOp, float32, type Op } from "../op.ts";
import { formatShape, type Layout, type Shape, ShapeError, sameShape, sizeOf } from "../shape.ts";
import { convCalls, inputCalls, weightCalls } from "./convCalls.ts";
import { type ConvAttrs, checkFloats, convShape, eachTap, type InputAttrs, type WeightAttrs } from "./convShape.ts";
import { rowMajor } from "./rowMajor.ts";

const PLAIN: ConvAttrs = { stride: [1, 1], padding: [[0, 0], [0, 0]], dilation: [1, 1], groups: 1 };
const SAME: ConvAttrs = { ...PLAIN, padding: [[1, 1], [1, 1]] };
const ODD: ConvAttrs = { stride: [2, 1], padding: [[0, 1], [2, 0]], dilation: [1, 2], groups: 1 };
const GROUPED: ConvAttrs = { ...SAME, stride: [1, 2], groups: 3 };

/** Images, weights and attributes from which the cases of all three ops are made. */
const SHAPES: readonly { readonly x: Shape; readonly w: Shape; readonly attrs: ConvAttrs }[] = [
  { x: [1, 1, 1, 1], w: [1, 1, 1, 1], attrs: PLAIN },
  { x: [2, 5, 4, 1], w: [3, 3, 1, 33], attrs: SAME },
  { x: [1, 7, 6, 8], w: [3, 3, 8, 4], attrs: { ...SAME, stride: [2, 2] } },
  { x: [1, 5, 7, 3], w: [2, 2, 3, 8], attrs: ODD },
  { x: [1, 3, 4, 9], w: [2, 3, 3, 6], attrs: GROUPED },
  { x: [0, 3, 3, 2], w: [3, 3, 2, 2], attrs: SAME },
];

/** y[b, y, x, o] = Σ x[b, place(y, x, tap), i] · w[tap, i, o]: [batch, height, width, in] ∗ [kh, kw, in / groups, out]. */
export const conv2d: Op<ConvAttrs> = defineOp<ConvAttrs>({
  name: "conv2d",
  infer([x, w], attrs) {
    checkFloats("conv2d", x, w);
    return [float32(convShape("conv2d", x.shape, w.shape, attrs))];
  },
  cpu([out], [x, w], attrs) {
    const [image, weight, result] = [rowMajor(x), rowMajor(w), new Float64Array(sizeOf(out.shape))];
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
  gpu: convCalls,
  strided: hasContiguousChannels,
  vjp: ([g], [x, w], _, attrs) => [
    ...g.apply(conv2dInput, [g, w], { ...attrs, inputShape: x.shape }),
    ...g.apply(conv2dWeight, [x, g], { ...attrs, kernelSize: [w.shape[0], w.shape[1]] }),
  ],
  saves: { inputs: [0, 1] },
  cases: SHAPES.map(({ x, w, attrs }) => ({ inputs: [x, w], attrs })),
  errors: [
    {
      inputs: [[1, 4, 4, 3], [3, 3, 4, 8]],
      attrs: SAME,
      error: "conv2d: [1, 4, 4, 3] ∗ [3, 3, 4, 8] in 1 group, want [batch, height, width, in] ∗ [kh, kw, in / groups, out]",
    },
    { inputs: [[1, 4, 4, 2], [5, 3, 2, 8]], attrs: PLAIN, error: "conv2d: [1, 4, 4, 2] ∗ [5, 3, 2, 8]: 5 × 3 pixels under the kernel of 4 × 4" },
  ],
  tolerance: { terms: ([, [kh, kw, channels]]) => kh * kw * channels, relL2: 2e-6 },
});

/** The image's cotangent of conv2d, from the result's and the weight: convolution transposed. */
export const conv2dInput: Op<InputAttrs> = defineOp<InputAttrs>({
  name: "conv2dInput",
  infer([g, w], attrs) {
    checkFloats("conv2dInput", g, w);
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
  gpu: inputCalls,
  strided: hasContiguousChannels,
  vjp: ([u], [g, w], _, attrs) => [
    ...u.apply(conv2d, [u, w], attrs),
    ...u.apply(conv2dWeight, [u, g], { ...attrs, kernelSize: [w.shape[0], w.shape[1]] }),
  ],
  saves: { inputs: [0, 1] },
  cases: SHAPES.map(({ x, w, attrs }) => ({
    inputs: [convShape("conv2d", x, w, attrs), w],
    attrs: { ...attrs, inputShape: x },
  })),
  errors: [
    {
      inputs: [[1, 4, 4, 8], [3, 3, 2, 8]],
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
    checkFloats("conv2dWeight", x, g);
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
  gpu: weightCalls,
  strided: hasContiguousChannels,
  vjp: ([v], [x, g], _, attrs) => [
    ...v.apply(conv2dInput, [g, v], { ...attrs, inputShape: x.shape }),
    ...v.apply(conv2d, [x, v], attrs),
  ],
  saves: { inputs: [0, 1] },
  cases: SHAPES.map(({ x, w, attrs }) => ({
    inputs: [x, convShape("conv2d", x, w, attrs)],
    attrs: { ...attrs, kernelSize: [w[0], w[1]] as const },
  })),
  errors: [
    {
      inputs: [[1, 4, 4, 2], [1, 4, 4, 8]],
      attrs: { ...PLAIN, kernelSize: [3, 3] },
      error: "conv2dWeight: gradient [1, 4, 4, 8] of [1, 4, 4, 2] ∗ [3, 3, 2, 8], want [1, 2, 2, 8]",
    },
  ],
  tolerance: { terms: ([, [batch, height, width]]) => batch * height * width, relL2: 5e-6 },
});

/** Kernels find pixels by strides; only an image's channels have to be neighbours. */
function hasContiguousChannels({ shape, strides }: Layout, index: number): boolean {
  return index === 0 && (strides[3] === 1 || shape[3] === 1);
}
