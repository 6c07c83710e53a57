// Times and labels as a model gets them from what asks with lists: samplers, and tests.
import { Tensor } from "@pkg/tensor";

/** The list. @throws Error for a tensor, which losses over steps give */
export function listOf<Value>(given: Tensor | readonly Value[]): readonly Value[] {
  if (given instanceof Tensor) throw new Error(`listOf: ${given}, want a list`);
  return given;
}

/** The tensor. @throws Error for a list, which samplers give */
export function inTensor(given: Tensor | readonly unknown[]): Tensor {
  if (given instanceof Tensor) return given;
  throw new Error("inTensor: a list, want a tensor");
}
