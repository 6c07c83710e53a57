// A random stream that only the host can compute: it draws there and uploads.

import { optionsOf } from "../argument.ts";
import { tensor } from "../create.ts";
import { atomically, isAtomic, onFailure } from "../memory/atomic.ts";
import { noteDraw } from "../memory/reads.ts";
import type { NumberArray } from "../op.ts";
import { type DType, type Shape, sizeOf } from "../shape.ts";
import type { DrawOptions, RandomState, RandomStream } from "./random.ts";
import { checkCount, integerDraw, normalDraw, signDraw, trialDraw, uniformDraw } from "./random.ts";

/** Makes the numbers of a stream from parameters that were checked. */
export interface HostSource {
  normals(size: number, mean: number, std: number): Float32Array;
  uniforms(size: number, low: number, high: number): Float32Array;
  /** `bound` numbers from `low` on. */
  integers(size: number, low: number, bound: number): Int32Array;
  permutation(n: number): Uint32Array;
  split(label: string | number): RandomStream;
  state(): RandomState;
  restore(state: RandomState): void;
}

/** The stream that draws from a source. */
export function hostStream(source: HostSource): RandomStream {
  /** If the current step fails, restores the stream's present state; so does a function that runs again. */
  const remember = () => {
    noteDraw(stream);
    if (!isAtomic()) return;
    const before = source.state();
    onFailure(() => source.restore(before));
  };
  const draws = (): HostSource => {
    remember();
    return source;
  };
  const uniform = (shape: Shape) => draws().uniforms(sizeOf(shape), 0, 1);
  const host: RandomStream["host"] = {
    normal(shape, options) {
      const { scale, shift } = normalDraw(shape, options);
      return draws().normals(sizeOf(shape), shift, scale);
    },
    uniform(shape, options) {
      const { scale, shift } = uniformDraw(shape, options);
      return draws().uniforms(sizeOf(shape), shift, shift + scale);
    },
    integers(low, high, shape) {
      const { bound } = integerDraw(low, high, shape);
      return draws().integers(sizeOf(shape), low, bound);
    },
    rademacher(shape) {
      signDraw(shape);
      return Float32Array.from(draws().integers(sizeOf(shape), 0, 2), (bit) => 2 * bit - 1);
    },
    bernoulli(probability, shape) {
      trialDraw(probability, shape);
      return Uint32Array.from(uniform(shape), (u) => Number(u < Math.fround(probability)));
    },
  };
  const drawn = (name: string, make: () => NumberArray, shape: Shape, options?: DrawOptions, dtype?: DType) => {
    const { backend } = optionsOf(name, options, "{ backend }");
    return atomically(() => tensor(make(), { backend, shape, dtype }));
  };
  const stream: RandomStream = {
    host,
    normal: (shape, options) => drawn("normal", () => host.normal(shape, options), shape, options),
    uniform: (shape, options) => drawn("uniform", () => host.uniform(shape, options), shape, options),
    integers: (low, high, shape, options) => drawn("integers", () => host.integers(low, high, shape), shape, options),
    rademacher: (shape, options) => drawn("rademacher", () => host.rademacher(shape), shape, options),
    bernoulli: (probability, shape, options) =>
      drawn("bernoulli", () => host.bernoulli(probability, shape), shape, options, "bool"),
    permutation(n) {
      checkCount(n);
      return atomically(() => draws().permutation(n));
    },
    next: () => uniform([])[0],
    split: (label) => source.split(label),
    state: () => source.state(),
    restore(state) {
      remember();
      source.restore(state);
    },
    take: () => null,
  };
  return stream;
}
