// PyTorch's CUDA generator: the numbers of torch.manual_seed(seed) with torch.randn, rand and randint on a GPU.

import { expectOptions, optionsOf } from "../argument.ts";
import { type HostSource, hostStream } from "./hostStream.ts";
import { halves, philox, type Words } from "./philox.ts";
import { bigintOf, childKey, keyOf, type RandomState, type RandomStream } from "./random.ts";

/** The GPU whose draws `torchCudaStream` reproduces. */
export interface TorchCudaOptions {
  /**
   * The GPU's multiprocessors, such as 108 for A100, 128 for RTX 4090, 132 for H100 SXM. Draws larger than all its threads
   * depend on them.
   */
  readonly multiprocessors: number;
  /** Default 2048, as on V100, A100 and H100; 1536 on other GPUs since Ampere, 1024 on Turing. */
  readonly threadsPerMultiprocessor?: number;
}

interface TorchCudaState extends RandomState {
  readonly generator: typeof GENERATOR;
  /** 64 bits, "0x…". */
  readonly seed: string;
  /** Torch's `philox_offset`. */
  readonly offset: number;
}

const { fround } = Math;
const GENERATOR = "torch cuda";
const BLOCK = 256;
const PER_CALL = 4;
const UNIT = 2 ** -32;
const TURN = fround(UNIT * fround(2 * Math.PI));

/**
 * The stream after `torch.manual_seed(seed)` on a CUDA GPU.
 * - `uniform` is torch.rand and `integers` is torch.randint (for high − low < 2²⁸), with the same bits.
 * - `normal` is torch.randn to 1e-5: CUDA computes a fast sine.
 * - `bernoulli` and `rademacher` are made from those.
 * - `permutation` throws: torch.randperm sorts on the GPU.
 * @param seed as for `randomStream`
 */
export function torchCudaStream(seed: number | bigint, options: TorchCudaOptions): RandomStream {
  expectOptions("torchCudaStream", options);
  const { multiprocessors = 0, threadsPerMultiprocessor = 2048 } = optionsOf(
    "torchCudaStream",
    options,
    "{ multiprocessors: 108 }",
  );
  if (!(multiprocessors >= 1 && threadsPerMultiprocessor >= BLOCK)) {
    throw new Error(
      `torchCudaStream: ${multiprocessors} multiprocessors of ${threadsPerMultiprocessor} threads, want at least 1 of ${BLOCK}`,
    );
  }
  const blocks = multiprocessors * Math.floor(threadsPerMultiprocessor / BLOCK);
  return hostStream(cudaSource(keyOf("torchCudaStream", seed), blocks, options));
}

function cudaSource(seed: readonly [number, number], maxBlocks: number, options: TorchCudaOptions): HostSource {
  let key = seed;
  let offset = 0;

  /** Each thread makes four numbers from four words at a time, for elements that are one grid apart. */
  const fill = <Numbers extends Float32Array | Int32Array>(
    out: Numbers,
    make: (words: Words) => readonly number[],
  ): Numbers => {
    const threads = BLOCK * Math.min(maxBlocks, Math.ceil(out.length / BLOCK));
    for (let first = 0; first < out.length; first += threads * PER_CALL) {
      const [low, high] = halves(offset / PER_CALL);
      for (let thread = 0; thread < Math.min(threads, out.length - first); thread++) {
        for (const [k, value] of make(philox([low, high, thread, 0], key)).entries()) {
          const i = first + k * threads + thread;
          if (i < out.length) out[i] = value;
        }
      }
      offset += PER_CALL;
    }
    return out;
  };

  return {
    uniforms(size, low, high) {
      const [from, to] = [fround(low), fround(high)];
      const range = fround(to - from);
      const uniform = (word: number) => {
        const value = fround(fraction(word) * range + from);
        return value === to ? from : value; // cuRAND's interval is (0, 1]
      };
      return fill(new Float32Array(size), (words) => words.map(uniform));
    },
    normals(size, mean, std) {
      const [shift, scale] = [fround(mean), fround(std)];
      return fill(new Float32Array(size), ([a, b, c, d]) =>
        [...sineAndCosine(a, b), ...sineAndCosine(c, d)].map((value) => value * scale + shift),
      );
    },
    integers: (size, low, bound) => fill(new Int32Array(size), (words) => words.map((word) => low + (word % bound))),
    permutation() {
      throw new Error("permutation: torch.randperm on CUDA sorts on the GPU, want another stream");
    },
    split: (label) => torchCudaStream(bigintOf(childKey(key, label)), options),
    state: (): TorchCudaState => ({ generator: GENERATOR, seed: `0x${bigintOf(key).toString(16)}`, offset }),
    restore(state) {
      const { generator, seed: from = "", offset: at } = state as Partial<TorchCudaState>; // it may come from a file
      if (generator !== GENERATOR || !/^0x[0-9a-f]{1,16}$/.test(from) || !Number.isSafeInteger(at)) {
        throw new Error(`restore: ${JSON.stringify(state)}, want a state of ${GENERATOR}`);
      }
      key = keyOf("restore", BigInt(from));
      offset = Number(at);
    },
  };
}

/** The word as cuRAND's number in (0, 1]. */
function fraction(word: number): number {
  return fround(fround(word) * UNIT + UNIT / 2);
}

/** A pair of normals, Box and Muller's with the sine first. */
function sineAndCosine(w: number, turn: number): [number, number] {
  const radius = fround(Math.sqrt(fround(-2 * Math.log(fraction(w)))));
  const theta = fround(fround(turn) * TURN + TURN / 2);
  return [fround(radius * Math.sin(theta)), fround(radius * Math.cos(theta))];
}
