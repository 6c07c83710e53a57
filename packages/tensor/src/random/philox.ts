// Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") on the host; kernels have it too.

/** One draw of a stream: its words 4q … 4q + 3 are philox([q, index, index / 2³², 0], key). */
export interface Draw {
  /** The stream's 64-bit key, the low half first. */
  readonly key: readonly [number, number];
  /** The number of the draw in the stream, from 0; below 2⁵³. */
  readonly index: number;
}

/** Four words, each in [0, 2³²). */
export type Words = readonly [number, number, number, number];

/** 128 random bits from a counter and a key. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [a, b, c, d] = counter;
  let [k, l] = key;
  for (let round = 0; round < 10; round++) {
    const [highA, highC] = [multiplyHigh(0xd2511f53, a), multiplyHigh(0xcd9e8d57, c)];
    const [lowA, lowC] = [Math.imul(0xd2511f53, a) >>> 0, Math.imul(0xcd9e8d57, c) >>> 0];
    [a, b, c, d] = [(highC ^ b ^ k) >>> 0, lowC, (highA ^ d ^ l) >>> 0, lowA];
    k = (k + 0x9e3779b9) >>> 0;
    l = (l + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** ⌊a b / 2³²⌋ for a and b in [0, 2³²). */
export function multiplyHigh(a: number, b: number): number {
  const carry = Math.floor(((a & 0xffff) * b) / 2 ** 16);
  return Math.floor(((a >>> 16) * b + carry) / 2 ** 16);
}

/** The first `size` words of a draw. */
export function words(draw: Draw, size: number): Uint32Array {
  const result = new Uint32Array(Math.ceil(size / 4) * 4);
  const [low, high] = halves(draw.index);
  for (let quad = 0; 4 * quad < size; quad++) result.set(philox([quad, low, high, 0], draw.key), 4 * quad);
  return result.subarray(0, size);
}

/** A number in [0, 2⁵³) as two words, the low one first. */
export function halves(value: number): [number, number] {
  return [value >>> 0, Math.floor(value / 2 ** 32)];
}
