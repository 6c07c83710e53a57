// Which tensors of a module are trained: all that are float32, but for buffers and what is frozen.

import { Tensor, wrongArgument } from "@pkg/tensor";
import { stateDict } from "./module.ts";

const buffers = new WeakSet<Tensor>();
const frozen = new WeakSet<Tensor>();

/**
 * Marks a tensor as a buffer: part of the state of the module that holds it (saved, loaded), never trained or averaged. Tensors of
 * other types than float32 are buffers without it.
 * @returns the tensor
 */
export function buffer(tensor: Tensor): Tensor {
  if (!(tensor instanceof Tensor)) throw wrongArgument("buffer", "tensor", tensor, "a tensor");
  buffers.add(tensor);
  return tensor;
}

/**
 * Keeps all tensors of a module (or one tensor) as they are: `parameters` leaves them out, optimizers pass them by, and no gradient is
 * computed for them. They stay in the module's state.
 */
export function freeze(module: object): void {
  for (const tensor of stateDict(module).values()) frozen.add(tensor);
}

/** Lets the tensors of a module be trained again; an optimizer that was made while they were frozen does not know them. */
export function unfreeze(module: object): void {
  for (const tensor of stateDict(module).values()) frozen.delete(tensor);
}

/** What an optimizer trains: the tensors of a module that are neither frozen nor buffers, each once, in the order of its fields. */
export function parameters(module: object): Tensor[] {
  return [...namedParameters(module).values()];
}

/** The same under their paths. */
export function namedParameters(module: object): Map<string, Tensor> {
  return new Map([...stateDict(module)].filter(([, tensor]) => !isBuffer(tensor) && !isFrozen(tensor)));
}

/** The number of numbers that an optimizer would train. */
export function parameterCount(module: object): number {
  return parameters(module).reduce((sum, { size }) => sum + size, 0);
}

export function isBuffer(tensor: Tensor): boolean {
  return tensor.dtype !== "float32" || buffers.has(tensor);
}

export function isFrozen(tensor: Tensor): boolean {
  return frozen.has(tensor);
}
