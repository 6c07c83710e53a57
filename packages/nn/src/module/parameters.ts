// The tensors of a module that are trained: float32 tensors that are neither buffers nor frozen.

import { Tensor, wrongArgument } from "@pkg/tensor";
import { stateDict } from "./module.ts";

const buffers = new WeakSet<Tensor>();
const frozen = new WeakSet<Tensor>();
const edges = new WeakSet<Tensor>();

/**
 * Marks a tensor as a buffer: it is saved and loaded with its module, but neither trained nor averaged. Tensors of other types
 * than float32 are buffers already.
 * @returns the tensor
 */
export function buffer(tensor: Tensor): Tensor {
  if (!(tensor instanceof Tensor)) throw wrongArgument("buffer", "tensor", tensor, "a tensor");
  buffers.add(tensor);
  return tensor;
}

/**
 * Marks the weights of a module, or one tensor, as those of a network's first or last layer, or of a table of embeddings: `muon` leaves
 * them to AdamW. The networks and embeddings of this package are marked.
 * @returns the module
 */
export function edge<Module extends object>(module: Module): Module {
  for (const tensor of stateDict(module).values()) edges.add(tensor);
  return module;
}

/**
 * Stops the training of a module, or of one tensor: `parameters` leaves its tensors out, optimizers skip them, and no gradient
 * is computed for them. They stay in the module's state.
 */
export function freeze(module: object): void {
  for (const tensor of stateDict(module).values()) frozen.add(tensor);
}

/** Undoes `freeze`. An optimizer that was made while the tensors were frozen does not train them. */
export function unfreeze(module: object): void {
  for (const tensor of stateDict(module).values()) frozen.delete(tensor);
}

/**
 * The tensors that an optimizer trains: those of a module that are neither frozen nor buffers, each once, in the order of its
 * fields.
 */
export function parameters(module: object): Tensor[] {
  return [...namedParameters(module).values()];
}

/** The tensors of `parameters` by path. */
export function namedParameters(module: object): Map<string, Tensor> {
  return new Map([...stateDict(module)].filter(([, tensor]) => !isBuffer(tensor) && !isFrozen(tensor)));
}

/** The number of elements in the tensors of `parameters`. */
export function parameterCount(module: object): number {
  return parameters(module).reduce((sum, { size }) => sum + size, 0);
}

/** Whether a tensor is a buffer. */
export function isBuffer(tensor: Tensor): boolean {
  return tensor.dtype !== "float32" || buffers.has(tensor);
}

/** Whether a tensor is frozen. */
export function isFrozen(tensor: Tensor): boolean {
  return frozen.has(tensor);
}

/** Whether a tensor is marked by `edge`. */
export function isEdge(tensor: Tensor): boolean {
  return edges.has(tensor);
}
