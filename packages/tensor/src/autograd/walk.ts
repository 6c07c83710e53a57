// Which nodes a walk from a value back to its sources takes, and all that it depends on.

import type { Region } from "../capture/regions.ts";
import type { Tensor } from "../tensor.ts";
import { isRead, type Node, type Origin } from "./graph.ts";

/** Counts the walks. Nodes and origins say by this number which walk met them last: a set of them would take several times as long. */
let walks = 0;

/** The nodes on a path from `sources` to `outputs`, the last recorded first. */
export function nodesBetween(outputs: readonly Tensor[], sources: Iterable<Origin>): readonly Node[] {
  const walk = ++walks;
  for (const source of sources) source.mark = walk;
  const reached: Node[] = [];
  const open = outputs.map(({ origin }) => origin);
  for (let origin = open.pop(); origin; origin = open.pop()) {
    const { node } = origin;
    if (!node || node.mark === walk || origin.mark === walk) continue;
    node.mark = walk;
    reached.push(node);
    for (const input of node.inputs) open.push(input.origin);
  }
  reached.sort((a, b) => a.order - b.order);
  const needs = ++walks;
  const isNeeded = ({ origin: { node, mark } }: Tensor) => mark === walk || node?.mark === needs;
  const needed = reached.filter((node) => {
    if (!node.inputs.some(isNeeded)) return false;
    node.mark = needs;
    return true;
  });
  return needed.reverse();
}

/**
 * What the cotangents of `xs` follow from: the nodes, how they hang together, and what they saved. That the same ops ran on the same
 * elements is not enough: `detach` is no op.
 * @param scale the cotangent of `value`; 1 without it
 */
export function walkOf(value: Tensor, xs: readonly Tensor[], scale?: Tensor): Omit<Region, "key"> {
  const nodes = nodesBetween(
    [value],
    xs.map(({ origin }) => origin),
  );
  const walk = ++walks;
  let numbers = 0;
  /** Values by number, in the order in which they are met; of a value whose elements are not saved, its shape as well. */
  const wiring: number[] = [];
  const inputs = [value, ...xs, ...(scale ? [scale] : [])];
  const name = (origin: Origin): void => {
    if (origin.mark !== walk) {
      origin.mark = walk;
      origin.number = numbers++;
    }
    wiring.push(origin.number);
  };
  const note = ({ origin, slot, layout }: Tensor): boolean => {
    name(origin);
    if (slot.storage === null) wiring.push(-1 - layout.shape.length, ...layout.shape);
    return slot.storage !== null;
  };
  note(value);
  for (const x of xs) note(x);
  const same: unknown[] = [];
  const attrs: unknown[] = [];
  /** Also what inputs are computed again from. */
  const noteInputs = (node: Node): void => {
    for (const [i, input] of node.inputs.entries()) {
      if (note(input)) inputs.push(input);
      else if (isRead(node.op, i) && input.origin.node?.op.cheap) {
        same.push(input.origin.node.op);
        attrs.push(input.origin.node.attrs);
        noteInputs(input.origin.node);
      }
    }
  };
  for (const node of nodes) {
    same.push(node.op);
    attrs.push(node.attrs);
    wiring.push(node.inputs.length, node.outputs.length);
    noteInputs(node);
    for (const output of node.outputs) if (note(output)) inputs.push(output);
    if (!node.recomputed) continue;
    // What it does when it runs again is what it did.
    const { constants, deeds } = node.recomputed;
    wiring.push(constants.length, deeds.length);
    for (const constant of constants) if (note(constant)) inputs.push(constant);
    for (const deed of deeds) {
      same.push(deed.what);
      attrs.push(deed.attrs);
      wiring.push(deed.inputs.length, deed.outputs.length);
      for (const origin of deed.inputs) name(origin);
      for (const origin of deed.outputs) name(origin);
    }
  }
  return { inputs, same, settings: [wiring, attrs] };
}
