// A random stream whose numbers only the host can make: tensors are drawn there and uploaded.

import { atomically, isAtomic, onFailure } from "./atomic.ts";
import { type CreateOptions, tensor } from "./create.ts";
import type { NumberArray } from "./op.ts";
import type { RandomState, RandomStream } from "./random.ts";
import { checkCount, integerDraw, normalDraw, signDraw, trialDraw, uniformDraw } from "./random.ts";
import { perStep, refuseInCapture } from "./session.ts";
import { type Shape, sizeOf } from "./shape.ts";

/** What makes the numbers, its parameters checked. */
export interface HostSource {
  normals(size: number, mean: number, std: number): Float32Array;
  uniforms(size: number, low: number, high: number): Float32Array;
  /** low + one of `bound` numbers. */
  integers(size: number, low: number, bound: number): Int32Array;
  permutation(n: number): Uint32Array;
  split(label: string | number): RandomStream;
  state(): RandomState;
  restore(state: RandomState): void;
}

/** The stream over a source. */
export function hostStream(source: HostSource): RandomStream {
  /** Lets a step that fails set the stream back to where it stands. */
  const remember = () => {
    if (!isAtomic()) return;
    const before = source.state();
    onFailure(() => source.restore(before));
  };
  const draws = (): HostSource => {
    refuseInCapture("a draw on the host", "it in perStep, or a tensor drawn");
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
  const drawn = (make: () => NumberArray, options: CreateOptions & { readonly shape: Shape }) =>
    atomically(() => tensor(perStep(make), options));
  return {
    host,
    normal: (shape, { backend, ...options } = {}) => drawn(() => host.normal(shape, options), { backend, shape }),
    uniform: (shape, { backend, ...options } = {}) => drawn(() => host.uniform(shape, options), { backend, shape }),
    integers: (low, high, shape, { backend } = {}) => drawn(() => host.integers(low, high, shape), { backend, shape }),
    rademacher: (shape, { backend } = {}) => drawn(() => host.rademacher(shape), { backend, shape }),
    bernoulli: (probability, shape, { backend } = {}) =>
      drawn(() => host.bernoulli(probability, shape), { backend, shape, dtype: "bool" }),
    permutation(n) {
      checkCount(n);
      return atomically(() => draws().permutation(n));
    },
    next: () => uniform([])[0],
    split: (label) => source.split(label),
    state: () => source.state(),
    restore(state) {
      refuseInCapture("restoring a random stream", "that outside");
      remember();
      source.restore(state);
    },
    take: () => null,
  };
}
