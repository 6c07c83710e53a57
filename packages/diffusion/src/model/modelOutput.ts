// What is NaN or infinite in a model's output: counted on the device, refused where results are read, never turned into a number.

import { concat, nonFiniteCount, type Tensor, tidy } from "@pkg/tensor";
import { sumPerSample } from "../objective/perSample.ts";
import type { Model } from "./model.ts";

/** A model that remembers its outputs. They live as long as the `tidy` in which it was called. */
export interface WatchedModel extends Model {
  readonly outputs: readonly Tensor[];
}

export function watchedModel(model: Model): WatchedModel {
  const outputs: Tensor[] = [];
  return {
    outputs,
    forward(x, times, conditioning) {
      const output = model.forward(x, times, conditioning);
      outputs.push(output);
      return output;
    },
  };
}

/** @throws Error where elements of a model's output are not finite, naming the place: "step 3" */
export function checkOutput(name: string, place: string, faulty: number): void {
  if (faulty > 0) {
    throw new Error(
      `${name}: the model's output at ${place} has ${faulty} elements that are NaN or infinite, want finite ones`,
    );
  }
}

/**
 * The numbers of a vector that is made of a model's outputs, with one reading for them and for how many elements of those outputs are
 * not finite.
 * @throws Error where there are such elements, naming the place
 */
export async function readWatched(
  name: string,
  place: string,
  model: Model,
  vectorOf: (watched: Model) => Tensor,
): Promise<readonly number[]> {
  const both = tidy(() => {
    const watched = watchedModel(model);
    const vector = vectorOf(watched);
    return concat([nonFiniteCount(watched.outputs).cast("float32").reshape([1]), vector]);
  });
  const [faulty, ...numbers] = await both.data();
  both.dispose();
  checkOutput(name, place, faulty);
  return numbers;
}

/**
 * Values, [batch, ...], with NaN, and a gradient of NaN, for each sample of which an output, [batch, ...], has an element that is not finite: of such outputs a
 * clip, or the decoder's least probability, would make good values, and a step of training without that sample.
 */
export function spoilt(values: Tensor, outputs: readonly Tensor[]): Tensor {
  const faults = outputs.map((output) => sumPerSample(output.isFinite().logicalNot().cast("float32")));
  const isSound = faults.reduce((a, b) => a.add(b)).equal(0);
  return isSound
    .reshape([values.shape[0], ...values.shape.slice(1).fill(1)])
    .where(1, Number.NaN)
    .mul(values);
}
