// Scaled dot-product attention, forward and backward.
import { grad, type Tensor } from "@pkg/tensor";
import type { BenchCase } from "../case.ts";

function attention(batch: number, heads: number, length: number, depth: number): BenchCase[] {
  const shape = [batch, heads, length, depth];
  const inputs = [shape, shape, shape];
  const elements = batch * heads * length * depth;
  const shared = { size: `${batch}×${heads}, length ${length}, depth ${depth}` };
  const products = 2 * batch * heads * length * length * depth;
  const part = {
    inputs: (all: readonly Tensor[]) => all.map((t) => t.slice([batch - 1])),
    outputs: (all: readonly Tensor[]) => all.map((t) => t.slice([batch - 1])),
  };
  return [
    {
      name: "attention",
      ...shared,
      flop: 2 * products,
      bytes: 16 * elements,
      inputs,
      run: ([q, k, v]) => [q.attention(k, v)],
      part,
      tolerance: 1e-5,
    },
    {
      name: "attention with gradient",
      ...shared,
      flop: 7 * products,
      bytes: 32 * elements,
      inputs: [...inputs, shape],
      run: ([q, k, v, g]) => grad((q, k, v) => q.attention(k, v).mul(g).sum(), [q, k, v]),
      part,
      tolerance: 5e-5,
    },
  ];
}

export const attentions: readonly BenchCase[] = [
  ...attention(4, 4, 64, 32),
  ...attention(4, 4, 256, 64),
  ...attention(128, 1, 256, 256),
  ...attention(16, 8, 1024, 64),
];
