// The graph of a computation: nodes, and when they are recorded. grad.ts walks it.

import type { Deed } from "../memory/reads.ts";
import type { Op } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/** The identity of a value in the graph. A tensor and its saved aliases share it. */
export interface Origin {
  /** The op that made the value, as long as it is recorded. */
  node: Node | null;
  /** How many open recordings differentiate with respect to the value. */
  tracked: number;
  /** The walk that met it last. */
  mark: number;
  /** Its number in that walk. */
  number: number;
}

/** What the walk needs to know of an op. */
export type Rule = Pick<Op<unknown>, "name" | "vjp" | "composed" | "auxiliary" | "saves" | "cheap">;

/** One recorded run of an op, or of a function that is recomputed. */
export interface Node {
  readonly order: number;
  readonly op: Rule;
  readonly attrs: unknown;
  /** Aliases. Those that the op's rule reads keep their elements; the others know their shape alone. */
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** Of a function that is recomputed. */
  readonly recomputed?: Recomputed;
  /** The node of the same outputs that it stands for. */
  readonly standsFor?: Node;
  /** The recording that frees it. */
  readonly owner: readonly Node[];
  isReleased: boolean;
  /** The walk that met it last. */
  mark: number;
}

/** How a function is recomputed. */
export interface Recomputed {
  /** The aliases that it reads besides the inputs. They are freed with the node. */
  readonly constants: readonly Tensor[];
  /** What it did when it ran. */
  readonly deeds: readonly Deed[];
  /** Runs it again, with the same nodes. @returns one tensor per output */
  run(): readonly Tensor[];
}

const recordings: Node[][] = [];
let order = 0;
let isSketch = false;

/** Whether an op on a tracked value would be recorded now. */
export function isRecording(): boolean {
  return recordings.length > 0;
}

/** Whether nodes that are recorded now need to save no elements, because only what depends on what is asked. */
export function isSketching(): boolean {
  return isSketch && recordings.length === 1;
}

/** Whether a value depends on something that is being differentiated. */
export function isTracked({ origin }: Tensor): boolean {
  return origin.tracked > 0 || origin.node !== null;
}

/** Whether the graph can compute a value again, as long as what is recorded now lasts: an op that reads it need not keep it. */
export function isRecomputable({ origin: { node } }: Tensor): boolean {
  if (!node?.op.cheap || node.isReleased || node.owner !== recordings[0]) return false;
  return node.inputs.every((input) => input.slot.storage !== null || isRecomputable(input));
}

/** Whether an op's rule reads an input, by its index. */
export function isRead({ saves }: Rule, index: number): boolean {
  return saves === undefined || (saves.inputs?.includes(index) ?? false);
}

const RECOMPUTED: Rule = { name: "checkpoint" };
const AGAIN: Rule = { name: "checkpoint", vjp: (cotangents) => cotangents, saves: {} };

/** Records a run of an op. The graph owns `inputs` and `outputs` from now on. */
export function record(op: Rule, attrs: unknown, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  add({ order: order++, op, attrs, inputs, outputs });
}

/** Records the run of a function that is recomputed when the graph is walked. */
export function recordRecomputed(recomputed: Recomputed, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  add({ order: order++, op: RECOMPUTED, attrs: undefined, inputs, outputs, recomputed });
}

/** Records that `outputs` depend on `inputs` in a way that is not known any more. @param why what a walk through them throws */
export function recordLost(why: string, inputs: readonly Tensor[], outputs: readonly Tensor[]): void {
  const vjp = (): never => {
    throw new Error(why);
  };
  add({ order: order++, op: { name: "checkpoint", vjp, saves: {} }, attrs: undefined, inputs, outputs });
}

/** Records that `output`, which a recomputed function gave, is what it gave when it ran again. */
export function recordAgain(node: Node, output: Tensor, again: Tensor): void {
  add({
    order: node.order,
    op: AGAIN,
    attrs: undefined,
    inputs: [again.alias(true)],
    outputs: [output.alias(true)],
    standsFor: node,
  });
}

function add(made: Omit<Node, "owner" | "isReleased" | "mark">): void {
  // The outermost recording owns every node: it may differentiate through the nodes of an inner one.
  const [owner] = recordings;
  const { order, op, attrs, inputs, outputs, recomputed, standsFor } = made;
  // All nodes have the same fields in the same order, which JavaScript reads faster. Copied by “...” they made a training step a third slower.
  const node: Node = {
    order,
    op,
    attrs,
    inputs,
    outputs,
    recomputed,
    standsFor,
    owner,
    isReleased: false,
    mark: 0,
  };
  for (const output of node.outputs) output.origin.node = node;
  owner.push(node);
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

/**
 * Runs `f` in a recording of its own that saves no elements and is forgotten at once.
 * @returns the result, whether a tensor made by `f` depends on what is being differentiated, and the number of its first node
 */
export function sketched<Result>(f: () => Result): {
  result: Result;
  depends: (tensor: Tensor) => boolean;
  first: number;
} {
  const waiting = recordings.splice(0);
  const [wasSketch, first, nodes]: [boolean, number, Node[]] = [isSketch, order, []];
  isSketch = true;
  recordings.push(nodes);
  try {
    const result = f();
    const dependent = new Set(nodes.flatMap(({ outputs }) => outputs.map(({ origin }) => origin)));
    return { result, depends: ({ origin }) => dependent.has(origin), first };
  } finally {
    recordings.splice(0, recordings.length, ...waiting);
    isSketch = wasSketch;
    forget(nodes);
  }
}

/**
 * Runs `f`, whose nodes get the numbers from `first` on, as when it ran before.
 * @param end the number after its last node
 * @returns the result, and whether there are as many nodes as before
 */
export function renumbered<Result>(
  { first, end }: { readonly first: number; readonly end: number },
  f: () => Result,
): { result: Result; isSame: boolean } {
  const now = order;
  order = first;
  try {
    const result = f();
    return { result, isSame: order === end };
  } finally {
    order = now;
  }
}

/** The number of the next node. */
export function nextOrder(): number {
  return order;
}

/** Frees what a node saved. Its outputs are constants from now on, unless it stands for another node. */
export function releaseNode(node: Node): void {
  if (node.isReleased) return;
  node.isReleased = true;
  const { standsFor, recomputed } = node;
  for (const output of node.outputs) output.origin.node = standsFor && !standsFor.isReleased ? standsFor : null;
  for (const alias of [...node.inputs, ...node.outputs, ...(recomputed?.constants ?? [])]) releaseAlias(alias);
}

/** Frees an alias. The value lives on as long as another tensor holds it. */
export function releaseAlias({ slot }: Tensor): void {
  slot.storage?.release();
  slot.storage = null;
}

function forget(nodes: Node[]): void {
  for (const node of nodes.splice(0)) releaseNode(node);
}
