// Which nodes a walk from a value back to its sources takes, and all that it depends on.

import type { Region } from "../capture/regions.ts";
import type { Tensor } from "../tensor.ts";
import type { Node, Origin } from "./graph.ts";

/** The nodes on a path from `sources` to `outputs`, the last recorded first. */
export function nodesBetween(outputs: readonly Tensor[], sources: ReadonlySet<Origin>): ReadonlySet<Node> {
  const reached = new Set<Node>();
  const open = outputs.map(({ origin }) => origin);
  for (let origin = open.pop(); origin; origin = open.pop()) {
    const { node } = origin;
    if (!node || reached.has(node) || sources.has(origin)) continue;
    reached.add(node);
    for (const input of node.inputs) open.push(input.origin);
  }
  const ascending = [...reached].sort((a, b) => a.order - b.order);
  const needed = new Set<Node>();
  for (const node of ascending) {
    if (node.inputs.some(({ origin }) => sources.has(origin) || (origin.node && needed.has(origin.node))))
      needed.add(node);
  }
  return new Set(ascending.reverse().filter((node) => needed.has(node)));
}

/**
 * What the cotangents of `xs` follow from: the nodes, how they hang together, and what they saved. That the same ops ran on the same
 * elements is not enough: `detach` is no op.
 * @param scale the cotangent of `value`; 1 without it
 */
export function walkOf(value: Tensor, xs: readonly Tensor[], scale?: Tensor): Omit<Region, "key"> {
  const numbers = new Map<Origin, number>();
  /** Values by number, in the order in which they are met; of a value whose elements are not saved, its shape as well. */
  const wiring: number[] = [];
  const inputs = [value, ...xs, ...(scale ? [scale] : [])];
  const note = ({ origin, slot, layout }: Tensor): boolean => {
    let number = numbers.get(origin);
    if (number === undefined) {
      number = numbers.size;
      numbers.set(origin, number);
    }
    wiring.push(number);
    if (slot.storage === null) wiring.push(-1 - layout.shape.length, ...layout.shape);
    return slot.storage !== null;
  };
  note(value);
  for (const x of xs) note(x);
  const same: unknown[] = [];
  const attrs: unknown[] = [];
  for (const node of nodesBetween([value], new Set(xs.map(({ origin }) => origin)))) {
    same.push(node.op);
    attrs.push(node.attrs);
    wiring.push(node.inputs.length, node.outputs.length);
    for (const input of node.inputs) if (note(input)) inputs.push(input);
    for (const output of node.outputs) if (note(output)) inputs.push(output);
  }
  return { inputs, same, settings: [wiring, attrs] };
}
