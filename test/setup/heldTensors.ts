// How many tensors there are when a test begins to count.
import { liveTensors } from "@pkg/tensor";
import { freeUnreachable } from "../../packages/tensor/src/unscoped.ts";

/** The number of tensors, without those of earlier tests that nobody can reach: the collector would take them while the test runs. */
export function heldTensors(): number {
  freeUnreachable();
  return liveTensors();
}
