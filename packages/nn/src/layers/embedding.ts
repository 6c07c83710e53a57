// A table of learned vectors, one per class.

import { Tensor, tensor } from "@pkg/tensor";
import { expectCount, expectInit, fanInUniform, type InitOptions } from "../module/init.ts";
import { edge } from "../module/parameters.ts";
import type { Labels } from "../networks/times.ts";

/** A learned vector for each of a number of classes. */
export interface Embedding {
  /** [classes, channels] */
  readonly weight: Tensor;
  /**
   * Integers in [0, classes), a list or an int32 tensor → [indices.length, channels]. The row of an index of a tensor outside of the
   * table is NaN.
   */
  forward(indices: Tensor | readonly number[]): Tensor;
}

/** A table of vectors, drawn by `fanInUniform`. @throws Error from forward for an index outside of the table in a list */
export function embedding(classes: number, channels: number, init: InitOptions): Embedding {
  expectCount("embedding", "classes", classes);
  expectCount("embedding", "channels", channels);
  expectInit("embedding", init);
  const layer: Embedding = {
    weight: edge(fanInUniform([classes, channels], channels, init)),
    forward(indices) {
      if (indices instanceof Tensor) return layer.weight.gather(indices);
      const wrong = indices.findIndex((index) => !(Number.isInteger(index) && index >= 0 && index < classes));
      if (wrong !== -1) throw new Error(`embedding: index ${indices[wrong]}, want an integer in [0, ${classes - 1}]`);
      return layer.weight.gather(tensor(Int32Array.from(indices), { backend: layer.weight.backend }));
    },
  };
  return layer;
}

/**
 * The rows of labels in a table whose last row, after those of the classes, stands for none.
 * @param name whose labels they are, for errors
 * @throws Error for a label that is no class
 */
export function classesOf(
  name: string,
  labels: Labels | undefined,
  classes: number,
  batch: number,
): Tensor | readonly number[] {
  if (labels instanceof Tensor) return labels;
  return Array.from({ length: batch }, (_, k) => classOf(name, labels ? labels[k] : null, classes));
}

function classOf(name: string, label: number | null, classes: number): number {
  if (label === null) return classes;
  if (Number.isInteger(label) && label >= 0 && label < classes) return label;
  throw new Error(`${name}: label ${label}, want null or an integer in [0, ${classes - 1}]`);
}
