// PyTorch's CPU generator: the numbers of torch.manual_seed(seed) with torch.randn, rand, randint and randperm.

import { type HostSource, hostStream } from "./hostStream.ts";
import { bigintOf, childKey, keyOf, type RandomState, type RandomStream, shuffled } from "./random.ts";

interface TorchState extends RandomState {
  readonly generator: typeof GENERATOR;
  /** The low 32 bits of the seed, which are all that the generator takes. */
  readonly seed: number;
  readonly words: readonly number[];
  /** How many of the words are used up. */
  readonly used: number;
  /** The second normal number of a pair, when it is still to be given. */
  readonly spare: number | null;
}

const { fround } = Math;
const GENERATOR = "mt19937";
const SIZE = 624;
const SHIFT = 397;
const TWO_PI = fround(2 * Math.PI);

/**
 * The stream after `torch.manual_seed(seed)` on the CPU.
 * - `uniform` is torch.rand, `integers` is torch.randint (for high − low < 2²⁸), and `permutation` is torch.randperm (n < 2³² /
 *   20), with the same bits. Uniforms other than [0, 1) agree with a torch that was compiled with fused multiply-add, as on
 * x86-64.
 * - `normal` is torch.randn to 2e-6: torch's vector units round the logarithm and the cosine differently. As in torch, fewer
 *   than 16 numbers come from another algorithm.
 * - `bernoulli` is torch.bernoulli of a tensor filled with the probability, `rademacher` is 2 · torch.randint(0, 2) − 1, and
 *   `next` is torch.rand of one number.
 * - `split` makes a stream from this one's seed and the label: torch has no child streams.
 * @param seed as for `randomStream`
 */
export function torchStream(seed: number | bigint): RandomStream {
  const key = keyOf("torchStream", seed);
  return hostStream(new TorchSource(key[0]));
}

class TorchSource implements HostSource {
  private seed: number;
  private readonly words = new Uint32Array(SIZE);
  private used = SIZE;
  private spare: number | null = null;

  constructor(seed: number) {
    this.seed = seed;
    this.words[0] = seed;
    for (let j = 1; j < SIZE; j++) {
      const last = this.words[j - 1];
      this.words[j] = Math.imul(1812433253, last ^ (last >>> 30)) + j;
    }
  }

  uniforms(size: number, low: number, high: number): Float32Array {
    const [from, range] = [fround(low), fround(fround(high) - fround(low))];
    return Float32Array.from({ length: size }, () => this.uniform() * range + from);
  }

  normals(size: number, mean: number, std: number): Float32Array {
    if (size < 16) return Float32Array.from({ length: size }, () => this.normal() * std + mean);
    const values = this.uniforms(size, 0, 1);
    for (let i = 0; i + 16 <= size; i += 16) boxMullerOf16(values.subarray(i, i + 16), fround(mean), fround(std));
    if (size % 16 !== 0) {
      const last = values.subarray(size - 16);
      last.set(this.uniforms(16, 0, 1));
      boxMullerOf16(last, fround(mean), fround(std));
    }
    return values;
  }

  integers(size: number, low: number, bound: number): Int32Array {
    return Int32Array.from({ length: size }, () => low + (this.word() % bound));
  }

  permutation(n: number): Uint32Array {
    return shuffled(n, (i) => this.word() % (n - i));
  }

  split(label: string | number): RandomStream {
    return torchStream(bigintOf(childKey([this.seed, 0], label)));
  }

  state(): TorchState {
    const { seed, words, used, spare } = this;
    return { generator: GENERATOR, seed, words: [...words], used, spare };
  }

  restore(state: RandomState): void {
    const { generator, seed = 0, words = [], used = 0, spare = null } = state as Partial<TorchState>; // it may come from a file
    if (generator !== GENERATOR || words.length !== SIZE) {
      throw new Error(`restore: a state of ${generator} with ${words.length} words, want ${GENERATOR} with ${SIZE}`);
    }
    this.seed = seed;
    this.words.set(words);
    this.used = used;
    this.spare = spare;
  }

  /** 24 bits in [0, 1). */
  private uniform(): number {
    return (this.word() & 0xffffff) * 2 ** -24;
  }

  /** Two normal numbers of 53-bit uniforms, one of them kept for the next call. */
  private normal(): number {
    const { spare } = this;
    this.spare = null;
    if (spare !== null) return spare;
    const turn = 2 * Math.PI * this.fraction();
    const radius = Math.sqrt(-2 * Math.log1p(-this.fraction()));
    this.spare = radius * Math.sin(turn);
    return radius * Math.cos(turn);
  }

  /** 53 bits in [0, 1). */
  private fraction(): number {
    const [high, low] = [this.word(), this.word()];
    return ((high & 0x1fffff) * 2 ** 32 + low) * 2 ** -53;
  }

  /** 32 bits of MT19937 (Matsumoto and Nishimura 1998). */
  private word(): number {
    if (this.used === SIZE) this.twist();
    let y = this.words[this.used++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const { words } = this;
    for (let j = 0; j < SIZE; j++) {
      const y = (words[j] & 0x80000000) | (words[(j + 1) % SIZE] & 0x7fffffff);
      words[j] = words[(j + SHIFT) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.used = 0;
  }
}

/** Sixteen uniforms to sixteen normals in place: the first eight give the radii, the others the angles. */
function boxMullerOf16(values: Float32Array, mean: number, std: number): void {
  for (let j = 0; j < 8; j++) {
    const radius = fround(Math.sqrt(-2 * fround(Math.log(1 - values[j]))));
    const theta = fround(TWO_PI * values[j + 8]);
    values[j] = fround(radius * fround(Math.cos(theta))) * std + mean;
    values[j + 8] = fround(radius * fround(Math.sin(theta))) * std + mean;
  }
}
