// Differentiation: grad, valueAndGrad, vjp and jvp over one walk of the graph. The rule of each op stands with the op.

import { expectFunction, expectTensor, expectTensors } from "../argument.ts";
import { region } from "../capture/capture.ts";
import { compute } from "../compute.ts";
import { onesLike, zerosLike } from "../create.ts";
import { tell } from "../debug/observer.ts";
import { adopt, onScopeEnd, tidy } from "../memory/memory.ts";
import type { Op } from "../op.ts";
import { formatShape, ShapeError, sameShape } from "../shape.ts";
import { Tensor } from "../tensor.ts";
import {
  isRead,
  isRecording,
  type Node,
  type Origin,
  type Recomputed,
  recordAgain,
  recorded,
  releaseAlias,
  releaseNode,
} from "./graph.ts";
import { nodesBetween, walkOf } from "./walk.ts";

/** A function of tensors to be differentiated. It may also read other tensors. */
export type Differentiable<Result> = (...inputs: Tensor[]) => Result;

/**
 * ∂f/∂xᵢ of a scalar function. Inside another differentiated function the result is differentiable again, to any order.
 * Inputs that f does not depend on get zeros. Intermediate tensors are freed.
 * @param f its result has one element
 * @param xs what to differentiate by: handed to f, or closed over by it
 * @returns one tensor per x, of its shape
 * @throws ShapeError when f's result is not one element; Error when it is not float32
 * @example
 * ```ts
 * import { cpu, grad, type Tensor, tensor } from "@pkg/tensor";
 *
 * const x = tensor([1, 2, 3], { backend: cpu() });
 * const cubes = (x: Tensor) => x.pow(3).sum();
 * const slope = (x: Tensor) => grad(cubes, [x])[0];
 * console.log(await slope(x).array()); // [3, 12, 27]
 * const [curvature] = grad((x) => slope(x).sum(), [x]); // a gradient of a gradient
 * console.log(await curvature.array()); // [6, 12, 18]
 * ```
 */
export function grad(f: Differentiable<Tensor>, xs: readonly Tensor[]): Tensor[] {
  checkArguments("grad", f, xs);
  return tidy(() => valueAndGrad(f, xs).grads);
}

/**
 * The value of a scalar function with its gradients, and whether it depends on each of the xs; otherwise as `grad`.
 * @param options `scale`, of one element, multiplies the gradients from the start: small ones then survive rounding
 */
export function valueAndGrad(
  f: Differentiable<Tensor>,
  xs: readonly Tensor[],
  { scale }: { readonly scale?: Tensor } = {},
): { value: Tensor; grads: Tensor[]; reached: boolean[] } {
  checkArguments("valueAndGrad", f, xs);
  return tidy(() => {
    const { result: value, release } = recorded(() => tidy(() => f(...xs)), xs);
    try {
      expectTensor("grad", "the function's result", value);
      if (value.size !== 1) {
        throw new ShapeError(
          `grad: the function's result has shape ${formatShape(value.shape)}, want one element (sum it)`,
        );
      }
      if (value.dtype !== "float32") throw new Error(`grad: the function's result is ${value.dtype}, want float32`);
      // In a captured step the walk follows from the graph, and need not be taken again.
      const what = () => ({ key: backward, ...walkOf(value, xs, scale) });
      const walked = region(value.backend, what, () => {
        const found = backward([value], [scale ? scale.reshape(value.shape) : onesLike(value)], xs);
        return { grads: orZeros(found, xs), reached: found.map((g) => g !== undefined) };
      });
      return { value, ...walked };
    } finally {
      release();
    }
  });
}

/**
 * f's value, and its pullback: cotangents u of the value ↦ uᵀ ∂f/∂xᵢ. The pullback may be called any number of times until the
 * enclosing `tidy` ends; outside of any, what it needs is freed when it is collected.
 * @throws ShapeError from the pullback when a cotangent's shape is not the value's
 */
export function vjp(
  f: Differentiable<Tensor>,
  xs: readonly Tensor[],
): {
  value: Tensor;
  /** One tensor per x, of its shape. */
  pullback: (cotangent: Tensor) => Tensor[];
} {
  checkArguments("vjp", f, xs);
  const { result: value, release } = recorded(() => {
    const result = tidy(() => f(...xs));
    expectTensor("vjp", "the function's result", result);
    return result;
  }, xs);
  const output = value.alias(true);
  const pullback = (cotangent: Tensor) => tidy(() => orZeros(backward([output], [cotangent], xs, { reuse: true }), xs));
  onScopeEnd(pullback, release);
  return { value, pullback };
}

/**
 * f's value and its directional derivative Σ ∂f/∂xᵢ · vᵢ, by differentiating the pullback (which is linear in its cotangent).
 * @param tangents one per x, of its shape
 */
export function jvp(
  f: Differentiable<Tensor>,
  xs: readonly Tensor[],
  tangents: readonly Tensor[],
): { value: Tensor; tangent: Tensor } {
  checkArguments("jvp", f, xs);
  expectTensors("jvp", "tangents", tangents);
  for (const [i, x] of xs.entries()) checkCotangent("jvp: tangent", tangents[i], x);
  return tidy(() => {
    const primal = vjp(f, xs);
    const cotangent = zerosLike(primal.value);
    const along = () =>
      primal
        .pullback(cotangent)
        .map((g, i) => g.mul(tangents[i]).sum())
        .reduce((a, b) => a.add(b));
    const [tangent] = grad(along, [cotangent]);
    return { value: primal.value, tangent };
  });
}

/**
 * Cotangents of `xs` from those of `outputs`; undefined for an x that no output depends on. It walks the graph once, from the
 * last node to the first.
 */
function backward(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  xs: readonly Tensor[],
  { reuse = false }: { reuse?: boolean } = {},
): (Tensor | undefined)[] {
  for (const [i, output] of outputs.entries()) checkCotangent("vjp: cotangent", cotangents[i], output);
  // Sums are aliases: each is freed after its use, also if another tensor holds the same storage. `held` are those not yet freed.
  const sums = new Map<Origin, Tensor>();
  const held = new Set<Tensor>();
  const free = (sum: Tensor): void => {
    held.delete(sum);
    releaseAlias(sum);
  };
  const take = (origin: Origin): Tensor | undefined => {
    const sum = sums.get(origin);
    sums.delete(origin);
    return sum;
  };
  const accumulate = (origin: Origin, cotangent: Tensor): void => {
    const sum = take(origin);
    const next = (sum ? sum.add(cotangent) : cotangent).alias(false);
    held.add(next);
    sums.set(origin, next);
    if (sum) free(sum);
  };
  /** A sum that is a small part of its storage holds all of it. */
  const compact = (origin: Origin): void => {
    const sum = sums.get(origin);
    if (sum && sum.size < sum.storage.size)
      tidy(() => {
        take(origin);
        accumulate(origin, sum.contiguous());
        free(sum);
      });
  };

  // A node's saved values are freed after the node, unless the graph is walked again.
  const isRecorded = isRecording();
  const sources = new Set(xs.map((x) => x.origin));
  const path = new Set<Node>();
  const isNeeded = ({ origin }: Tensor) => sources.has(origin) || (origin.node !== null && path.has(origin.node));
  const walk = (nodes: readonly Node[], isKept: boolean): void => {
    for (const node of nodes) path.add(node);
    for (const node of nodes) {
      const given = node.outputs.map(({ origin }) => (sources.has(origin) ? undefined : take(origin)));
      tidy(() => {
        if (given.every((cotangent) => cotangent === undefined)) return;
        const needed = node.inputs.map(isNeeded);
        if (node.recomputed) return walkAgain(node, node.recomputed, given);
        for (const [i, cotangent] of pullBack(node, given, needed).entries()) {
          if (cotangent && needed[i]) accumulate(node.inputs[i].origin, cotangent);
        }
      });
      for (const cotangent of given) if (cotangent) free(cotangent);
      if (!isKept) releaseNode(node);
    }
  };
  /** Walks the nodes of a function that runs again, in the place of its own: every sum is added up in the same order. */
  const walkAgain = (node: Node, { run }: Recomputed, given: readonly (Tensor | undefined)[]): void => {
    const recompute = () => tidy(() => run().map((again, i) => recordAgain(node, node.outputs[i], again)));
    const { release } = recorded(recompute, node.inputs);
    try {
      const reached = node.outputs.filter(({ origin }, i) => {
        const cotangent = given[i];
        if (cotangent) accumulate(origin, cotangent);
        return cotangent !== undefined;
      });
      const origins = node.inputs.filter(isNeeded).map(({ origin }) => origin);
      walk(nodesBetween(reached, new Set(origins)), isRecorded);
      if (!isRecorded) for (const origin of origins) compact(origin);
    } finally {
      release();
    }
  };
  try {
    for (const [i, { origin }] of outputs.entries()) accumulate(origin, cotangents[i]);
    walk(nodesBetween(outputs, sources), reuse || isRecorded);
    return xs.map((x) => {
      const sum = sums.get(x.origin)?.alias(false);
      if (sum) adopt(sum);
      return sum;
    });
  } finally {
    for (const sum of held) releaseAlias(sum);
  }
}

/** Cotangents of one node's inputs, null where none is needed. */
function pullBack(
  node: Node,
  given: readonly (Tensor | undefined)[],
  needed: readonly boolean[],
): readonly (Tensor | null)[] {
  const again: Tensor[] = [];
  try {
    const inputs = node.inputs.map((input, i) => (isRead(node.op, i) ? computedAgain(input, again) : input));
    return pullBackThrough(node, inputs, given, needed);
  } finally {
    for (const alias of again) releaseAlias(alias);
  }
}

/** The value with its elements, computed again if they were not kept. @param made gets what has to be released */
function computedAgain(value: Tensor, made: Tensor[]): Tensor {
  const { origin, slot, backend } = value;
  if (slot.storage !== null || !origin.node?.op.cheap) return value;
  const { attrs, outputs, ...node } = origin.node;
  const op = node.op as Op<unknown>; // only ops are cheap
  const inputs = node.inputs.map((input) => computedAgain(input, made));
  const found = compute(op, inputs, attrs, backend).map((elements, k) => {
    const alias = new Tensor(backend, elements.storage, elements.layout, elements.dtype, outputs[k].origin);
    made.push(alias);
    return alias;
  });
  tell(op, inputs, found, attrs);
  return found[outputs.findIndex((output) => output.origin === origin)];
}

/** @param inputs those of the node, with their elements */
function pullBackThrough(
  node: Node,
  inputs: readonly Tensor[],
  given: readonly (Tensor | undefined)[],
  needed: readonly boolean[],
): readonly (Tensor | null)[] {
  const { op, attrs, outputs } = node;
  const differentiable = outputs.slice(0, op.auxiliary);
  if (given.slice(differentiable.length).some((cotangent) => cotangent !== undefined)) {
    throw new Error(
      `${op.name}: a by-product of the kernel (output ${differentiable.length} or later) has no derivative`,
    );
  }
  if (op.vjp) {
    const cotangents = differentiable.map((output, i) => given[i] ?? zerosLike(output));
    const pulled = op.vjp(cotangents, inputs, outputs, attrs, needed);
    for (const [i, cotangent] of pulled.entries())
      if (cotangent) checkCotangent(`${op.name}: vjp`, cotangent, inputs[i]);
    return pulled;
  }
  const { composed } = op;
  if (!composed) throw new Error(`${op.name}: has no derivative`);
  const { result, release } = recorded(() => composed(inputs, attrs), inputs);
  const present = differentiable.flatMap((_, i) => (given[i] ? [i] : []));
  try {
    const cotangents = backward(
      present.map((i) => result[i]),
      present.map((i) => given[i] as Tensor),
      inputs,
    );
    // One tensor that is several operands gets the sum of all at the first.
    const isFirst = (i: number) => inputs.findIndex(({ origin }) => origin === inputs[i].origin) === i;
    return cotangents.map((cotangent, i) => (isFirst(i) ? (cotangent ?? null) : null));
  } finally {
    release();
  }
}

function orZeros(cotangents: readonly (Tensor | undefined)[], xs: readonly Tensor[]): Tensor[] {
  return xs.map((x, i) => cotangents[i] ?? zerosLike(x));
}

function checkCotangent(what: string, cotangent: Tensor | undefined, of: Tensor): void {
  if (!cotangent || !sameShape(cotangent.shape, of.shape)) {
    throw new ShapeError(
      `${what} has shape ${cotangent ? formatShape(cotangent.shape) : "none"}, want ${formatShape(of.shape)}`,
    );
  }
}

function checkArguments(name: string, f: unknown, xs: unknown): void {
  expectFunction(name, "f", f);
  expectTensors(name, "xs", xs);
}
