// Random streams for tensors and for the host. PyTorch's streams are in torchRandom.ts and torchCuda.ts.

import { optionsOf } from "../argument.ts";
import type { Backend } from "../backend.ts";
import { backendFor } from "../defaultBackend.ts";
import { atomically, onFailure } from "../memory/atomic.ts";
import { noteDraw } from "../memory/reads.ts";
import type { Op } from "../op.ts";
import { randomIntegers, randomNormal, randomSigns, randomTrials, randomUniform } from "../ops/index.ts";
import { checkShape, type Shape, sizeOf } from "../shape.ts";
import { apply, type Tensor } from "../tensor.ts";
import { integers, normals, signs, trialBound, trials, uniforms } from "./distributions.ts";
import { type Draw, halves, multiplyHigh, philox, words } from "./philox.ts";

/** Mean and standard deviation of normal draws. */
export interface NormalOptions {
  /** Default 0. */
  readonly mean?: number;
  /** Default 1. */
  readonly std?: number;
}

/** The range of uniform draws. */
export interface UniformOptions {
  /** Default 0. */
  readonly low?: number;
  /** Default 1. It is excluded, unless low + (high − low) · u rounds to it in float32. */
  readonly high?: number;
}

/** The backend of a drawn tensor. */
export interface DrawOptions {
  /** Default: the one of `setDefaultBackend`. */
  readonly backend?: Backend;
}

/** Draws as row-major arrays on the host: the elements that the tensor of the same draw would have. */
export interface HostDraws {
  /** Normal numbers. */
  normal(shape: Shape, options?: NormalOptions): Float32Array;
  /** Uniform numbers in [low, high). */
  uniform(shape: Shape, options?: UniformOptions): Float32Array;
  /** Integers low, …, high − 1 with equal probability. */
  integers(low: number, high: number, shape: Shape): Int32Array;
  /** −1 or 1 with equal probability. */
  rademacher(shape: Shape): Float32Array;
  /** 1 with the given probability, otherwise 0. */
  bernoulli(probability: number, shape: Shape): Uint32Array;
}

/** The state of a stream, as plain JSON. */
export interface RandomState {
  /** The kind of stream that can restore it. */
  readonly generator: string;
}

/**
 * A sequence of draws that a seed fixes.
 * Each method takes the next draw, but for `split`, `state` and `restore`. The bits of a draw do not depend on the backend.
 * Methods throw Error for parameters out of range, and ShapeError for shapes, before they draw. A draw that fails leaves the
 * stream as it was; so does an all-or-nothing step that fails (see `allOrNothing`).
 */
export interface RandomStream {
  /** The same draws as arrays, without a backend. */
  readonly host: HostDraws;
  /** Normal numbers, float32. */
  normal(shape: Shape, options?: NormalOptions & DrawOptions): Tensor;
  /** Uniform numbers in [low, high), float32: multiples of 2⁻²⁴ in [0, 1), scaled. */
  uniform(shape: Shape, options?: UniformOptions & DrawOptions): Tensor;
  /** Integers low, …, high − 1, int32. Their probabilities are equal to within 2⁻³². */
  integers(low: number, high: number, shape: Shape, options?: DrawOptions): Tensor;
  /** −1 or 1 with equal probability, float32. */
  rademacher(shape: Shape, options?: DrawOptions): Tensor;
  /** True with the given probability to within 2⁻²⁵, bool. */
  bernoulli(probability: number, shape: Shape, options?: DrawOptions): Tensor;
  /** The numbers 0, …, n − 1 in random order, such as the order of an epoch. */
  permutation(n: number): Uint32Array;
  /** One uniform number in [0, 1). */
  next(): number;
  /**
   * The child stream of a label. It is independent of this stream and of other children, and equal labels give equal children.
   */
  split(label: string | number): RandomStream;
  /** The state of the stream. `restore` continues from it, bit for bit. */
  state(): RandomState;
  /** Continues from a state. @throws Error for a state of another generator, or for what is not a state */
  restore(state: RandomState): void;
  /** Takes the next draw, which a kernel makes in registers; null for a stream that only the host can compute. @internal */
  take(): Draw | null;
}

/** The state of a `randomStream`. */
interface PhiloxState extends RandomState {
  readonly generator: typeof GENERATOR;
  /** 64 bits, "0x…". */
  readonly key: string;
  /** The number of draws taken. */
  readonly index: number;
}

type Key = readonly [number, number];

const GENERATOR = "philox4x32-10";
// The last word of the counter, which is 0 for draws.
const NUMBERED_CHILD = 1;
const NAMED_CHILD = 2;

/**
 * A stream of random numbers: Philox-4x32-10 counters (Salmon et al. 2011), normals by Box and Muller's method.
 * Element i of a draw depends on the seed, the number of earlier draws and i alone, so a larger draw begins with the elements
 * of a smaller one.
 * @param seed an integer in [0, 2⁵³), or a bigint in [0, 2⁶⁴)
 * @throws Error for another seed
 */
export function randomStream(seed: number | bigint): RandomStream {
  return new PhiloxStream(keyOf("randomStream", seed));
}

class PhiloxStream implements RandomStream {
  readonly host: HostDraws;
  private key: Key;
  private index = 0;

  constructor(key: Key) {
    this.key = key;
    const drawn = <Given extends object, Result>(
      make: (draw: Given & Draw, size: number) => Result,
      given: Given,
      shape: Shape,
    ) => atomically(() => make({ ...given, ...this.take() }, sizeOf(shape)));
    this.host = {
      normal: (shape, options) => drawn(normals, normalDraw(shape, options), shape),
      uniform: (shape, options) => drawn(uniforms, uniformDraw(shape, options), shape),
      integers: (low, high, shape) => drawn(integers, integerDraw(low, high, shape), shape),
      rademacher: (shape) => drawn(signs, signDraw(shape), shape),
      bernoulli: (probability, shape) => drawn(trials, trialDraw(probability, shape), shape),
    };
  }

  normal(shape: Shape, options?: NormalOptions & DrawOptions): Tensor {
    return this.draw(randomNormal, normalDraw(shape, options), shape, options);
  }

  uniform(shape: Shape, options?: UniformOptions & DrawOptions): Tensor {
    return this.draw(randomUniform, uniformDraw(shape, options), shape, options);
  }

  integers(low: number, high: number, shape: Shape, options?: DrawOptions): Tensor {
    return this.draw(randomIntegers, integerDraw(low, high, shape), shape, options);
  }

  rademacher(shape: Shape, options?: DrawOptions): Tensor {
    return this.draw(randomSigns, signDraw(shape), shape, options);
  }

  bernoulli(probability: number, shape: Shape, options?: DrawOptions): Tensor {
    return this.draw(randomTrials, trialDraw(probability, shape), shape, options);
  }

  permutation(n: number): Uint32Array {
    checkCount(n);
    return atomically(() => {
      const drawn = words(this.take(), n);
      return shuffled(n, (i) => multiplyHigh(drawn[i], n - i));
    });
  }

  next(): number {
    const [high, low] = words(this.take(), 2);
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) * 2 ** -53;
  }

  split(label: string | number): RandomStream {
    return new PhiloxStream(childKey(this.key, label));
  }

  state(): PhiloxState {
    return { generator: GENERATOR, key: `0x${bigintOf(this.key).toString(16)}`, index: this.index };
  }

  restore(state: RandomState): void {
    const { generator, key, index } = state as Partial<PhiloxState>; // it may come from a file
    if (
      generator !== GENERATOR ||
      !/^0x[0-9a-f]{1,16}$/.test(key ?? "") ||
      !Number.isSafeInteger(index) ||
      Number(index) < 0
    ) {
      throw new Error(`restore: ${JSON.stringify(state)}, want a state of ${GENERATOR}`);
    }
    this.remember();
    this.key = keyOf("restore", BigInt(key ?? 0));
    this.index = Number(index);
  }

  take(): Draw {
    this.remember();
    return { key: this.key, index: this.index++ };
  }

  /** If the current step fails, restores the stream's present state; so does a function that runs again. */
  private remember(): void {
    noteDraw(this);
    const { key, index } = this;
    onFailure(() => {
      this.key = key;
      this.index = index;
    });
  }

  private draw<Given>(
    op: Op<Given & Draw & { readonly shape: Shape }>,
    given: Given,
    shape: Shape,
    options: DrawOptions | undefined,
  ): Tensor {
    const backend = backendFor(op.name, optionsOf(op.name, options, "{ backend }").backend);
    return atomically(() => apply(op, [], { ...given, ...this.take(), shape }, backend)[0]);
  }
}

/** Checked parameters of `normal`. */
export function normalDraw(shape: Shape, options?: NormalOptions): { scale: number; shift: number } {
  const { mean = 0, std = 1 } = optionsOf("normal", options, "{ mean: 0, std: 1 }");
  checkShape("normal", shape);
  if (!(Number.isFinite(mean) && Number.isFinite(std) && std >= 0)) {
    throw new Error(`normal: mean ${mean} and std ${std}, want finite numbers, std at least 0`);
  }
  return { scale: std, shift: mean };
}

/** Checked parameters of `uniform`. */
export function uniformDraw(shape: Shape, options?: UniformOptions): { scale: number; shift: number } {
  const { low = 0, high = 1 } = optionsOf("uniform", options, "{ low: 0, high: 1 }");
  checkShape("uniform", shape);
  if (!(Number.isFinite(low) && Number.isFinite(high) && low <= high)) {
    throw new Error(`uniform: low ${low} and high ${high}, want finite numbers, low at most high`);
  }
  return { scale: high - low, shift: low };
}

/** Checked parameters of `integers`. */
export function integerDraw(low: number, high: number, shape: Shape): { low: number; bound: number } {
  checkShape("integers", shape);
  if (!(low === (low | 0) && high === (high | 0) && low < high)) {
    throw new Error(`integers: low ${low} and high ${high}, want integers of 32 bits, low below high`);
  }
  return { low, bound: high - low };
}

/** Checked parameters of `rademacher`. */
export function signDraw(shape: Shape): Record<never, never> {
  checkShape("rademacher", shape);
  return {};
}

/** Checked parameters of `bernoulli`. */
export function trialDraw(probability: number, shape: Shape): { bound: number } {
  checkShape("bernoulli", shape);
  if (!(probability >= 0 && probability <= 1))
    throw new Error(`bernoulli: probability ${probability}, want it in [0, 1]`);
  return { bound: trialBound(probability) };
}

/** Refuses what cannot be the length of a permutation. */
export function checkCount(n: number): void {
  if (n !== n >>> 0) throw new Error(`permutation: n ${n}, want an integer from 0 to 2³² − 1`);
}

/** The numbers 0, …, n − 1 shuffled (Fisher and Yates): place i is exchanged with place i + `pick(i)`. */
export function shuffled(n: number, pick: (i: number) => number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = 0; i < n - 1; i++) {
    const j = i + pick(i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** A seed as two words, the low one first. @throws Error naming the function for a seed out of range */
export function keyOf(op: string, seed: number | bigint): Key {
  const isValid =
    typeof seed === "bigint" ? seed === BigInt.asUintN(64, seed) : Number.isSafeInteger(seed) && seed >= 0;
  if (!isValid) throw new Error(`${op}: seed ${seed}, want an integer from 0 to 2⁵³ − 1, or a bigint below 2⁶⁴`);
  const bits = BigInt(seed);
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/** A key as one number of 64 bits. */
export function bigintOf([low, high]: Key): bigint {
  return (BigInt(high) << 32n) | BigInt(low);
}

/** The key of a child: Philox of its label, eight bytes of a text at a time. */
export function childKey(key: Key, label: string | number): Key {
  if (typeof label === "number") {
    if (!(Number.isSafeInteger(label) && label >= 0))
      throw new Error(`split: label ${label}, want a text or an integer from 0 on`);
    const [low, high] = philox([...halves(label), 0, NUMBERED_CHILD], key);
    return [low, high];
  }
  const text = new TextEncoder().encode(label);
  const padded = new Uint8Array(Math.max(8, Math.ceil(text.length / 8) * 8));
  padded.set(text);
  const view = new DataView(padded.buffer);
  let child = key;
  for (let at = 0; at < padded.length; at += 8) {
    const [low, high] = philox(
      [view.getUint32(at, true), view.getUint32(at + 4, true), text.length, NAMED_CHILD],
      child,
    );
    child = [low, high];
  }
  return child;
}
