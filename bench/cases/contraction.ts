// Matrix products and convolutions, forward and both gradients, in the sizes of the U-Nets for MNIST and CIFAR-10.
import type { Tensor } from "@pkg/tensor";
import { convAttrs } from "../../packages/tensor/src/ops/convShape.ts";
import { conv2dInput, conv2dWeight } from "../../packages/tensor/src/ops/index.ts";
import type { BenchCase } from "../case.ts";

const FLOAT = 4;

function matmul(m: number, k: number, n: number, tolerance = 5e-6): BenchCase {
  const rows = Math.min(m, 4);
  return {
    name: "matmul",
    size: `${m}×${k}×${n}`,
    flop: 2 * m * k * n,
    bytes: FLOAT * (m * k + k * n + m * n),
    inputs: [
      [m, k],
      [k, n],
    ],
    run: ([a, b]) => [a.matmul(b)],
    part: {
      inputs: ([a, b]) => [a.slice([m - rows]), b],
      outputs: ([y]) => [y.slice([m - rows])],
    },
    tolerance,
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

/** Forward, gradient of the input, gradient of the weight. */
function convolution({ batch, side, from, to, kernel = 3, stride = 1 }: ConvSize): BenchCase[] {
  const padding = kernel >> 1;
  const out = Math.floor((side + 2 * padding - kernel) / stride) + 1;
  const options = { stride, padding };
  const attrs = convAttrs([batch, side, side, from], [kernel, kernel, from, to], options);
  const [x, w, y] = [batch * side * side * from, kernel * kernel * from * to, batch * out * out * to];
  const shared = {
    size: `${batch}×${side}²×${from}→${to}, ${kernel}×${kernel}${stride > 1 ? `, stride ${stride}` : ""}`,
    flop: 2 * batch * out * out * kernel * kernel * from * to,
    bytes: FLOAT * (x + w + y),
  };
  const image = [batch, side, side, from];
  const weight = [kernel, kernel, from, to];
  const result = [batch, out, out, to];
  const last = (t: Tensor) => t.slice([batch - 1]);
  const channels = Math.min(2, to);
  const fewChannels = (t: Tensor) => t.slice(null, null, null, [0, channels]);
  return [
    {
      name: "conv2d",
      ...shared,
      inputs: [image, weight],
      run: ([x, w]) => [x.conv2d(w, options)],
      part: { inputs: ([x, w]) => [last(x), w], outputs: ([y]) => [last(y)] },
      tolerance: 5e-6,
    },
    {
      name: "conv2d input gradient",
      ...shared,
      inputs: [weight, result],
      run: ([w, g]) => g.apply(conv2dInput, [g, w], { ...attrs, inputShape: [g.shape[0], side, side, from] }),
      part: { inputs: ([w, g]) => [w, last(g)], outputs: ([dx]) => [last(dx)] },
      tolerance: 5e-6,
    },
    {
      name: "conv2d weight gradient",
      ...shared,
      inputs: [image, result],
      run: ([x, g]) => x.apply(conv2dWeight, [x, g], { ...attrs, kernelSize: [kernel, kernel] }),
      part: {
        inputs: ([x, g]) => [x, fewChannels(g)],
        outputs: ([dw]) => [fewChannels(dw)],
      },
      tolerance: 1e-5,
    },
  ];
}

export const contractions: readonly BenchCase[] = [
  matmul(256, 256, 256),
  matmul(512, 512, 512),
  matmul(1024, 1024, 1024),
  matmul(2048, 2048, 2048),
  matmul(4096, 4096, 4096),
  matmul(131072, 128, 128),
  matmul(32768, 256, 256),
  ...convolution({ batch: 1, side: 32, from: 32, to: 32 }),
  ...convolution({ batch: 16, side: 28, from: 33, to: 65 }),
  ...convolution({ batch: 1, side: 32, from: 128, to: 128 }),
  ...convolution({ batch: 128, side: 32, from: 128, to: 128 }),
  ...convolution({ batch: 128, side: 16, from: 512, to: 256 }),
  ...convolution({ batch: 128, side: 16, from: 256, to: 256 }),
  ...convolution({ batch: 128, side: 8, from: 256, to: 256 }),
  ...convolution({ batch: 128, side: 32, from: 128, to: 128, stride: 2 }),
  ...convolution({ batch: 128, side: 16, from: 256, to: 256, kernel: 1 }),
  ...convolution({ batch: 128, side: 32, from: 3, to: 128 }),
  ...convolution({ batch: 128, side: 32, from: 128, to: 3 }),
];
