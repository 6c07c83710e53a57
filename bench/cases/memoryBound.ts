// Kernels that move more than they compute: norms, elementwise chains, reductions, and random numbers.
import { addNoise, randomStream } from "@pkg/tensor";
import type { BenchCase } from "../case.ts";
import { withGradient } from "./withGradient.ts";

const FLOAT = 4;

/** Alone, and with the gradients of image, scale and bias. */
export function groupNorm(batch: number, side: number, channels: number, groups = 32): BenchCase[] {
  const shape = [batch, side, side, channels];
  const elements = batch * side * side * channels;
  const options = { groups, activation: "silu" } as const;
  const size = `${batch}×${side}²×${channels}${groups === 32 ? "" : `, ${groups} groups`}`;
  return [
    {
      name: "groupNorm + SiLU",
      size,
      flop: 12 * elements,
      bytes: 2 * FLOAT * elements,
      inputs: [shape, [channels], [channels]],
      solve: ([x, scale, bias]) => [x.groupNorm(scale, bias, options)],
      tolerance: 5e-6,
      problem: { kind: "groupNorm", groups },
    },
    {
      name: "groupNorm + SiLU with gradient",
      size,
      flop: 40 * elements,
      bytes: 5 * FLOAT * elements,
      inputs: [shape, [channels], [channels], shape],
      solve: withGradient((x, scale, bias) => x.groupNorm(scale, bias, options)),
      tolerance: 2e-5,
      problem: { kind: "groupNorm with gradient", groups },
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
      solve: ([a, b]) => [a.add(b)],
      tolerance: 1e-7,
    },
    {
      name: "SiLU",
      size,
      flop: 10 * elements,
      bytes: 2 * FLOAT * elements,
      inputs: [shape],
      solve: ([a]) => [a.silu()],
      tolerance: 1e-6,
    },
    {
      name: "sum",
      size,
      flop: elements,
      bytes: FLOAT * elements,
      inputs: [{ shape, range: [0, 1] }],
      solve: ([a]) => [a.sum()],
      tolerance: 5e-6,
    },
    ...draws(elements, size),
    {
      name: "noise-add",
      size,
      flop: 83 * elements,
      bytes: 3 * FLOAT * elements,
      inputs: [[64, elements / 64], [64], [64]],
      solve: ([x0, signal, noise]) => Object.values(addNoise(x0, signal, noise, randomStream(0))),
      tolerance: 1e-7,
    },
  ];
}

/** Random numbers have the same bits everywhere. */
function draws(elements: number, size: string): BenchCase[] {
  const shared = { size, bytes: FLOAT * elements, inputs: [[1]], tolerance: 0 };
  const [shape, seed] = [[elements], 0];
  return [
    {
      name: "Philox bits",
      ...shared,
      flop: 65 * elements,
      solve: ([{ backend }]) => [randomStream(seed).integers(-(2 ** 31), 2 ** 31 - 1, shape, { backend })],
    },
    {
      name: "uniform",
      ...shared,
      flop: 67 * elements,
      solve: ([{ backend }]) => [randomStream(seed).uniform(shape, { backend })],
    },
    {
      name: "normal",
      ...shared,
      flop: 80 * elements,
      solve: ([{ backend }]) => [randomStream(seed).normal(shape, { backend })],
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
    solve: ([x]) => [x.softmax()],
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
