// Matrix products and convolutions, forward and both gradients, in the sizes of the U-Nets for MNIST and CIFAR-10.
import type { Tensor } from "@pkg/tensor";
import { convAttrs } from "../../packages/tensor/src/ops/conv/convShape.ts";
import { conv2dInput, conv2dWeight } from "../../packages/tensor/src/ops/index.ts";
import type { BenchCase } from "../case.ts";
import { withGradient } from "./withGradient.ts";

const FLOAT = 4;

/** a b, or with one of them stored transposed: "NT" is a bᵀ with b [n, k]. */
export function matmul(m: number, k: number, n: number, order: "NN" | "NT" | "TN" = "NN"): BenchCase {
  const rows = Math.min(m, 4);
  const [ofA, ofB] = [
    (a: Tensor) => (order === "TN" ? a.transpose() : a),
    (b: Tensor) => (order === "NT" ? b.transpose() : b),
  ];
  const lastRows = (a: Tensor) => (order === "TN" ? a.slice(null, [m - rows, m]) : a.slice([m - rows, m]));
  return {
    name: "matmul",
    size: `${m}×${k}×${n}${order === "NN" ? "" : ` ${order}`}`,
    flop: 2 * m * k * n,
    bytes: FLOAT * (m * k + k * n + m * n),
    inputs: [order === "TN" ? [k, m] : [m, k], order === "NT" ? [n, k] : [k, n]],
    solve: ([a, b]) => [ofA(a).matmul(ofB(b))],
    part: {
      inputs: ([a, b]) => [lastRows(a), b],
      outputs: ([y]) => [y.slice([m - rows, m])],
      shapes: [[m, n]],
    },
    tolerance: 5e-6,
    ...(order === "NN" && { problem: { kind: "matmul" } }),
  };
}

interface ConvSize {
  readonly batch: number;
  readonly side: number;
  readonly from: number;
  readonly to: number;
  readonly kernel?: number;
  readonly stride?: number;
}

function convolution({ batch, side, from, to, kernel = 3, stride = 1 }: ConvSize) {
  const padding = kernel >> 1;
  const out = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  const options = { stride, padding };
  const attrs = convAttrs([batch, side, side, from], [kernel, kernel, from, to], options);
  const [x, w, y] = [batch * side * side * from, kernel * kernel * from * to, batch * out * out * to];
  return {
    options,
    attrs,
    image: [batch, side, side, from],
    weight: [kernel, kernel, from, to],
    result: [batch, out, out, to],
    last: (t: Tensor) => t.slice([batch - 1, batch]),
    // Channels are independent: two are enough of the reference's time.
    few: (t: Tensor) => t.slice(null, null, null, [0, 2]),
    shared: {
      size: `${batch}×${side}²×${from}→${to}, ${kernel}×${kernel}${stride > 1 ? `, stride ${stride}` : ""}`,
      flop: 2 * batch * out * out * kernel * kernel * from * to,
      bytes: FLOAT * (x + w + y),
      tolerance: 5e-6,
    },
    problem: (kind: string) => (kernel === 3 && stride === 1 ? { problem: { kind } } : {}),
  };
}

export function convForward(given: ConvSize): BenchCase {
  const { image, weight, result, last, few, shared, options, problem } = convolution(given);
  return {
    name: "conv2d",
    ...shared,
    inputs: [image, weight],
    solve: ([x, w]) => [x.conv2d(w, options)],
    part: { inputs: ([x, w]) => [last(x), few(w)], outputs: ([y]) => [few(last(y))], shapes: [result] },
    ...problem("conv2d"),
  };
}

/** Forward and both gradients, through autograd, as training takes them. */
export function convWithGradient(given: ConvSize): BenchCase {
  const { image, weight, result, shared, options, problem } = convolution(given);
  return {
    name: "conv2d with gradient",
    ...shared,
    flop: 3 * shared.flop,
    bytes: 2 * shared.bytes,
    inputs: [image, weight, result],
    solve: withGradient((x, w) => x.conv2d(w, options)),
    tolerance: 1e-5,
    ...problem("conv2d with gradient"),
  };
}

/** Forward, gradient of the input, gradient of the weight. */
function convKernels(given: ConvSize): BenchCase[] {
  const { batch, side, from, to, kernel = 3 } = given;
  const { image, weight, result, last, few, shared, attrs } = convolution(given);
  return [
    convForward(given),
    {
      name: "conv2d input gradient",
      ...shared,
      inputs: [weight, result],
      solve: ([w, g]) => g.apply(conv2dInput, [g, w], { ...attrs, inputShape: [g.shape[0], side, side, w.shape[2]] }),
      part: {
        inputs: ([w, g]) => [w.slice(null, null, [0, 2]), last(g)],
        outputs: ([dx]) => [few(last(dx))],
        shapes: [[batch, side, side, from]],
      },
    },
    {
      name: "conv2d weight gradient",
      ...shared,
      inputs: [image, result],
      solve: ([x, g]) => x.apply(conv2dWeight, [x, g], { ...attrs, kernelSize: [kernel, kernel] }),
      part: {
        inputs: ([x, g]) => [few(x), few(g)],
        outputs: ([dw]) => [few(dw.slice(null, null, [0, 2]))],
        shapes: [[kernel, kernel, from, to]],
      },
      tolerance: 1e-5,
    },
  ];
}

/** The way up of a U-Net: each pixel four times, then a 3×3 convolution. */
function upsampled(batch: number, side: number, channels: number): BenchCase {
  const { weight, last, few, shared } = convolution({ batch, side: 2 * side, from: channels, to: channels });
  const elements = batch * side * side * channels;
  return {
    name: "upsample + conv2d",
    ...shared,
    size: `${batch}×${side}²×${channels}→${2 * side}², 3×3`,
    bytes: FLOAT * (5 * elements + 9 * channels * channels),
    inputs: [[batch, side, side, channels], weight],
    solve: ([x, w]) => [x.upsampleNearest(2).conv2d(w, { padding: 1 })],
    part: {
      inputs: ([x, w]) => [last(x), few(w)],
      outputs: ([y]) => [few(last(y))],
      shapes: [[batch, 2 * side, 2 * side, channels]],
    },
  };
}

export const contractions: readonly BenchCase[] = [
  matmul(256, 256, 256),
  matmul(512, 512, 512),
  matmul(512, 512, 512, "NT"),
  matmul(512, 512, 512, "TN"),
  matmul(1024, 1024, 1024),
  matmul(2048, 2048, 2048),
  matmul(4096, 4096, 4096),
  matmul(4096, 4096, 4096, "NT"),
  matmul(4096, 4096, 4096, "TN"),
  matmul(131072, 128, 128),
  matmul(32768, 256, 256),
  matmul(2048, 256, 256),
  ...convKernels({ batch: 1, side: 32, from: 32, to: 32 }),
  ...convKernels({ batch: 16, side: 28, from: 33, to: 65 }),
  ...[1, 16, 128].flatMap((batch) => [
    ...convKernels({ batch, side: 32, from: 128, to: 128 }),
    ...convKernels({ batch, side: 32, from: 384, to: 128 }),
    ...convKernels({ batch, side: 16, from: 512, to: 256 }),
    ...convKernels({ batch, side: 16, from: 256, to: 256 }),
    ...convKernels({ batch, side: 8, from: 256, to: 256 }),
    ...convKernels({ batch, side: 4, from: 256, to: 256 }),
  ]),
  ...convKernels({ batch: 128, side: 32, from: 128, to: 128, stride: 2 }),
  ...convKernels({ batch: 128, side: 16, from: 256, to: 256, kernel: 1 }),
  ...convKernels({ batch: 128, side: 32, from: 3, to: 128 }),
  ...convKernels({ batch: 128, side: 32, from: 128, to: 3 }),
  upsampled(1, 16, 256),
  upsampled(128, 16, 256),
];
