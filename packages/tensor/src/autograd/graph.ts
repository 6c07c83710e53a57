// The graph of a computation: nodes, and when they are recorded. grad.ts walks it.

import type { Op } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/** The identity of a value in the graph. A tensor and its saved aliases share it. */
export interface Origin {
  /** The op that made the value, as long as it is recorded. */
  node: Node | null;
  /** How many open recordings differentiate with respect to the value. */
  tracked: number;
}

/** One recorded run of an op. */
export interface Node {
  readonly order: number;
  readonly op: Op<unknown>;
  readonly attrs: unknown;
  /** Aliases. Those that the op's rule reads keep their elements; the others know their shape alone. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
}

const recordings: Node[][] = [];
let order = 0;

/** Whether an op on a tracked value would be recorded now. */
export function isRecording(): boolean {
  return recordings.length > 0;
}

/** Whether a value depends on something that is being differentiated. */
export function isTracked({ origin }: Tensor): boolean {
  return origin.tracked > 0 || origin.node !== null;
}

/** Records a run of an op. The graph owns `inputs` and `outputs` from now on. */
export function record(op: Op<unknown>, attrs: unknown, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  const node: Node = { order: order++, op, attrs, inputs, outputs };
  for (const output of outputs) output.origin.node = node;
  // The outermost recording owns every node: it may differentiate through the nodes of an inner one.
  recordings[0].push(node);
}

/**
 * Runs `f` and records the ops that depend on `sources`.
 * @returns the result, the recorded nodes, and `release`, to be called after the graph was used; inside another recording the graph
 * stays with that one
 */
export function recorded<Result>(
  f: () => Result,
  sources: readonly Tensor[],
): { result: Result; nodes: readonly Node[]; release: () => void } {
  const nodes: Node[] = [];
  for (const { origin } of sources) origin.tracked++;
  recordings.push(nodes);
  try {
    const result = f();
    return { result, nodes, release: () => forget(nodes) };
  } catch (error) {
    forget(nodes);
    throw error;
  } finally {
    recordings.pop();
    for (const { origin } of sources) origin.tracked--;
  }
}

/** Frees what a node saved. Its outputs are constants from now on. */
export function releaseNode(node: Node): void {
  for (const output of node.outputs) output.origin.node = null;
  for (const alias of [...node.inputs, ...node.outputs]) releaseAlias(alias);
}

/** Frees an alias. The value lives on as long as another tensor holds it. */
export function releaseAlias({ slot }: Tensor): void {
  slot.storage?.release();
  slot.storage = null;
}

function forget(nodes: Node[]): void {
  for (const node of nodes.splice(0)) releaseNode(node);
}
