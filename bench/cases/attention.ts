// Scaled dot-product attention, forward and backward.
import type { Tensor } from "@pkg/tensor";
import type { BenchCase } from "../case.ts";
import { withGradient } from "./withGradient.ts";

/** Alone, and with the gradients of queries, keys and values. */
export function attention(batch: number, heads: number, length: number, depth: number): BenchCase[] {
  const shape = [batch, heads, length, depth];
  const inputs = [shape, shape, shape];
  const elements = batch * heads * length * depth;
  const shared = { size: `${batch}×${heads}, length ${length}, depth ${depth}` };
  const products = 2 * batch * heads * length * length * depth;
  // One head of one sample: heads do not see each other.
  const lastHead = (all: readonly Tensor[]) => all.map((t) => t.slice([batch - 1, batch], [heads - 1, heads]));
  const part = { inputs: lastHead, outputs: lastHead };
  return [
    {
      name: "attention",
      ...shared,
      flop: 2 * products,
      bytes: 16 * elements,
      inputs,
      solve: ([q, k, v]) => [q.attention(k, v)],
      part: { ...part, shapes: [shape] },
      tolerance: 1e-5,
      problem: { kind: "attention" },
    },
    {
      name: "attention with gradient",
      ...shared,
      flop: 7 * products,
      bytes: 32 * elements,
      inputs: [...inputs, shape],
      solve: withGradient((q, k, v) => q.attention(k, v)),
      part: { ...part, shapes: [shape, shape, shape, shape] },
      tolerance: 5e-5,
      problem: { kind: "attention with gradient" },
    },
  ];
}

export const attentions: readonly BenchCase[] = [
  ...attention(4, 4, 64, 32),
  ...attention(4, 4, 256, 64),
  ...attention(2, 8, 256, 128),
  ...attention(1, 1, 256, 256),
  ...attention(1, 4, 1024, 64),
  ...attention(128, 1, 256, 256),
  ...attention(16, 8, 1024, 64),
  ...attention(1, 1, 4096, 64),
  ...attention(4, 8, 4096, 64),
];
