// Kernels that move more than they compute: norms, elementwise chains, reductions, the optimizer's update, random numbers.
import { adamWStep, addNoise, grad, randomStream } from "@pkg/tensor";
import type { BenchCase } from "../case.ts";

const FLOAT = 4;

function groupNorm(batch: number, side: number, channels: number): BenchCase[] {
  const shape = [batch, side, side, channels];
  const elements = batch * side * side * channels;
  const options = { groups: 32, activation: "silu" } as const;
  const size = `${batch}×${side}²×${channels}`;
  return [
    {
      name: "groupNorm + SiLU",
      size,
      flop: 12 * elements,
      bytes: 2 * FLOAT * elements,
      inputs: [shape, [channels], [channels]],
      run: ([x, scale, bias]) => [x.groupNorm(scale, bias, options)],
      tolerance: 5e-6,
    },
    {
      name: "groupNorm + SiLU with gradient",
      size,
      flop: 40 * elements,
      bytes: 5 * FLOAT * elements,
      inputs: [shape, [channels], [channels], shape],
      run: ([x, scale, bias, g]) =>
        grad((x, scale, bias) => x.groupNorm(scale, bias, options).mul(g).sum(), [x, scale, bias]),
      tolerance: 2e-5,
    },
  ];
}

function elementwise(elements: number): BenchCase[] {
  const shape = [elements];
  const size = `${elements / 2 ** 20} M`;
  return [
    {
      name: "add",
      size,
      flop: elements,
      bytes: 3 * FLOAT * elements,
      inputs: [shape, shape],
      run: ([a, b]) => [a.add(b)],
      tolerance: 1e-7,
    },
    {
      name: "SiLU",
      size,
      flop: 10 * elements,
      bytes: 2 * FLOAT * elements,
      inputs: [shape],
      run: ([a]) => [a.silu()],
      tolerance: 1e-6,
    },
    {
      name: "sum",
      size,
      flop: elements,
      bytes: FLOAT * elements,
      inputs: [{ shape, range: [0, 1] }],
      run: ([a]) => [a.sum()],
      tolerance: 5e-6,
    },
    {
      name: "AdamW",
      size,
      flop: 15 * elements,
      bytes: 7 * FLOAT * elements,
      inputs: [shape, shape, shape, { shape, range: [0, 1] }, { shape: [], range: [1, 1] }],
      run: ([p, g, m, v, scale]) =>
        adamWStep(p, g, m, v, scale, {
          learningRate: 1e-3,
          beta1: 0.9,
          beta2: 0.999,
          epsilon: 1e-8,
          weightDecay: 0,
          t: 10,
        }),
      tolerance: 1e-6,
    },
    {
      name: "normal",
      size,
      flop: 80 * elements,
      bytes: FLOAT * elements,
      inputs: [[1]],
      run: ([{ backend }]) => [randomStream(0).normal([elements], { backend })],
      tolerance: 0,
    },
    {
      name: "noise-add",
      size,
      flop: 83 * elements,
      bytes: 3 * FLOAT * elements,
      inputs: [[64, elements / 64], [64], [64]],
      run: ([x0, signal, noise]) => Object.values(addNoise(x0, signal, noise, randomStream(0))),
      tolerance: 1e-7,
    },
  ];
}

function softmax(rows: number, columns: number): BenchCase {
  const elements = rows * columns;
  return {
    name: "softmax",
    size: `${rows}×${columns}`,
    flop: 12 * elements,
    bytes: 2 * FLOAT * elements,
    inputs: [{ shape: [rows, columns], range: [-8, 8] }],
    run: ([x]) => [x.softmax()],
    tolerance: 1e-5,
  };
}

export const memoryBound: readonly BenchCase[] = [
  ...elementwise(2 ** 20),
  ...elementwise(2 ** 24),
  softmax(4096, 256),
  softmax(65536, 256),
  ...groupNorm(2, 32, 64),
  ...groupNorm(128, 32, 128),
  ...groupNorm(128, 16, 256),
];
