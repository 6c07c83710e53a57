// What is recorded of a computation so that it can be differentiated: nodes, and when they are made. grad.ts walks them.

import type { Op } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/** The identity of a value in the graph; a tensor and its saved aliases share it. */
export interface Origin {
  /** The op that made it, while that is recorded. */
  node: Node | null;
  /** How many open recordings differentiate with respect to it. */
  tracked: number;
}

/** One recorded run of an op. */
export interface Node {
  readonly order: number;
  readonly op: Op<unknown>;
  readonly attrs: unknown;
  /** Aliases that keep alive what the op's rule reads; the others know their shape alone. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

const recordings: Node[][] = [];
let order = 0;

/** Whether an op that depends on a tracked value would be recorded now. */
export function isRecording(): boolean {
  return recordings.length > 0;
}

/** Whether a value depends on something that is being differentiated. */
export function isTracked({ origin }: Tensor): boolean {
  return origin.tracked > 0 || origin.node !== null;
}

/** Notes a run of an op; `inputs` and `outputs` belong to the graph from now on. */
export function record(op: Op<unknown>, attrs: unknown, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  const node: Node = { order: order++, op, attrs, inputs, outputs };
  for (const output of outputs) output.origin.node = node;
  // The outermost recording owns every node: an inner one's may be part of what the outer differentiates.
  recordings[0].push(node);
}

/**
 * Runs `f`, recording what depends on `sources`.
 * @returns the result, and `release`, which must be called once the graph has been used; inside another recording it leaves
 * the graph to that one
 */
export function recorded<Result>(f: () => Result, sources: readonly Tensor[]): { result: Result; release: () => void } {
  const nodes: Node[] = [];
  for (const { origin } of sources) origin.tracked++;
  recordings.push(nodes);
  try {
    const result = f();
    return { result, release: () => forget(nodes) };
  } catch (error) {
    forget(nodes);
    throw error;
  } finally {
    recordings.pop();
    for (const { origin } of sources) origin.tracked--;
  }
}

/** Gives back what a node saved; its outputs are plain values from now on. */
export function releaseNode(node: Node): void {
  for (const output of node.outputs) output.origin.node = null;
  for (const alias of [...node.inputs, ...node.outputs]) releaseAlias(alias);
}

/** Ends an alias: its value lives on as long as others hold it. */
export function releaseAlias({ slot }: Tensor): void {
  slot.storage?.release();
  slot.storage = null;
}

function forget(nodes: Node[]): void {
  for (const node of nodes.splice(0)) releaseNode(node);
}
