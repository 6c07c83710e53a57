// What a module consists of, as a flat list: whether it is still the same is told by comparing two.

import { Tensor } from "@pkg/tensor";

/** Tensors, numbers, texts and functions of a module and of all that its fields hold, in order. */
export function leavesOf(module: object): unknown[] {
  const leaves: unknown[] = [];
  const seen = new Set<object>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null || value instanceof Tensor) {
      leaves.push(value);
      return;
    }
    if (seen.has(value)) return;
    seen.add(value);
    if (Array.isArray(value)) for (const part of value) visit(part);
    else for (const name in value) visit(value[name as keyof typeof value]);
  };
  visit(module);
  return leaves;
}
