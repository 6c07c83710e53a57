// What a module consists of, as a flat list: whether it is still the same is told by comparing two.

import { Tensor } from "@pkg/tensor";

/** A module and all that its fields hold, in order, with the names of the fields. */
export function leavesOf(module: object): unknown[] {
  const leaves: unknown[] = [];
  const seen = new Set<object>();
  const visit = (value: unknown): void => {
    leaves.push(value);
    if (typeof value !== "object" || value === null || value instanceof Tensor || seen.has(value)) return;
    seen.add(value);
    for (const name in value) {
      leaves.push(name);
      visit(value[name as keyof typeof value]);
    }
  };
  visit(module);
  return leaves;
}
