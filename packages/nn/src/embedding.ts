// What the network knows besides the image: sinusoidal time embeddings and a table of class embeddings.

import { type Backend, optionsOf, type Tensor, tensor, wrongArgument } from "@pkg/tensor";
import { expectCount, expectInit, fanInUniform, type InitOptions } from "./init.ts";

/**
 * [cos(t f₀), …, cos(t f_{n−1}), sin(t f₀), …, sin(t f_{n−1})] with f_k = maxPeriod^(−k / n) and n = channels / 2
 * (Vaswani et al. 2017, in the order of DDPM's successors). Computed in float64 on the host: built-in GPU sines are too coarse.
 * @param times one a sample
 * @param channels even
 * @returns [times.length, channels]
 */
export function sinusoidalEmbedding(
  times: readonly number[],
  channels: number,
  options: { readonly backend?: Backend; readonly maxPeriod?: number } = {},
): Tensor {
  const { backend, maxPeriod = 10_000 } = optionsOf("sinusoidalEmbedding", options, "{ backend }");
  if (!Array.isArray(times))
    throw wrongArgument("sinusoidalEmbedding", "times", times, "a list of numbers, one a sample");
  if (!(Number.isInteger(channels) && channels > 0 && channels % 2 === 0)) {
    throw new Error(`sinusoidalEmbedding: ${channels} channels, want an even number of them`);
  }
  const half = channels / 2;
  const values = (): Float32Array => {
    const table = new Float32Array(times.length * channels);
    for (const [row, t] of times.entries()) {
      if (!Number.isFinite(t)) throw new Error(`sinusoidalEmbedding: time ${t}, want finite numbers`);
      for (let k = 0; k < half; k++) {
        const angle = t * maxPeriod ** (-k / half);
        table[row * channels + k] = Math.cos(angle);
        table[row * channels + half + k] = Math.sin(angle);
      }
    }
    return table;
  };
  return tensor(values, { backend, shape: [times.length, channels] });
}

/** A learned vector for each of a number of classes. */
export interface Embedding {
  /** [classes, channels] */
  readonly weight: Tensor;
  /** indices (integers in [0, classes)), or a function that gives them at every step → [indices.length, channels] */
  forward(indices: readonly number[] | (() => readonly number[])): Tensor;
}

/** A table of vectors, drawn by `fanInUniform`. @throws Error from forward for an index outside of the table */
export function embedding(classes: number, channels: number, init: InitOptions): Embedding {
  expectCount("embedding", "classes", classes);
  expectCount("embedding", "channels", channels);
  expectInit("embedding", init);
  const layer: Embedding = {
    weight: fanInUniform([classes, channels], channels, init),
    forward(indices) {
      const checked = (): Int32Array => {
        const given = typeof indices === "function" ? indices() : indices;
        const wrong = given.findIndex((index) => !(Number.isInteger(index) && index >= 0 && index < classes));
        if (wrong !== -1) throw new Error(`embedding: index ${given[wrong]}, want an integer in [0, ${classes - 1}]`);
        return Int32Array.from(given);
      };
      return layer.weight.gather(tensor(checked, { backend: layer.weight.backend }));
    },
  };
  return layer;
}

/**
 * The row of a label in a table whose last row, after those of the classes, stands for none.
 * @param name whose label it is, for the error
 */
export function classOf(name: string, label: number | null, classes: number): number {
  if (label === null) return classes;
  if (Number.isInteger(label) && label >= 0 && label < classes) return label;
  throw new Error(`${name}: label ${label}, want null or an integer in [0, ${classes - 1}]`);
}
