// Random streams: the generator, equal bits on every backend, distributions, splitting, and resuming. PyTorch's are in torchRandom.test.ts.
import {
  addNoise,
  type Backend,
  cpu,
  dropout,
  grad,
  type RandomStream,
  randomStream,
  ShapeError,
  tensor,
  torchStream,
  webgpu,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { boxMuller } from "../../../packages/tensor/src/random/boxMuller.ts";
import { philox, words } from "../../../packages/tensor/src/random/philox.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { bits, DRAWS, drawNoisy, MANY } from "./draws.ts";

const reference = cpu();

describe("Philox-4x32-10", () => {
  // Random123's kat_vectors.
  test.each([
    [[0, 0, 0, 0], [0, 0], "6627e8d5 e169c58d bc57ac4c 9b00dbd8"],
    [[0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], "408f276d 41c83b0e a20bc7c6 6d5451fd"],
    [[0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], "d16cfe09 94fdcceb 5001e420 24126ea1"],
  ] as const)("of %j and %j is the published value", (counter, key, expected) => {
    expect(hex(philox(counter, key))).toBe(expected);
  });

  test("a draw's first words are those of counter 0 and the seed", () => {
    expect(hex(words({ key: [0, 0], index: 0 }, 4))).toBe("6627e8d5 e169c58d bc57ac4c 9b00dbd8");
    expect(hex(words({ key: [0xa4093822, 0x299f31d0], index: 2 ** 40 + 7 }, 6).subarray(4))).toBe(
      hex(philox([1, 7, 2 ** 8, 0], [0xa4093822, 0x299f31d0]).slice(0, 2)),
    );
  });
});

const backends = [
  { name: "cpu float64", open: async () => cpu({ precision: "float64" }), skip: false },
  { name: "webgpu", open: () => webgpu({ poison: true }), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test.each(DRAWS)("$name has the bits of the cpu backend and of the host, 2²⁰ times", async ({ on, host }) => {
      const found = bits(await on(randomStream(7), [4, MANY / 4], backend).data());
      expect(mismatches(found, bits(await on(randomStream(7), [4, MANY / 4], reference).data()))).toBe(0);
      expect(mismatches(found, bits(host(randomStream(7), [MANY])))).toBe(0);
    });

    test("addNoise draws the bits of normal, 2²⁰ times, and so is their sum with x0 in float32", async () => {
      const both = [];
      for (const on of [backend, reference]) {
        const { noisy, noise } = drawNoisy(on);
        both.push({ noisy: await noisy.data(), noise: await noise.data() });
      }
      const [found, wanted] = both;
      expect(mismatches(bits(found.noise), bits(randomStream(7).host.normal([MANY])))).toBe(0);
      // The float64 backend is the more exact one, whose noisy values are not float32's.
      if (name === "webgpu") expect(mismatches(bits(found.noisy), bits(wanted.noisy))).toBe(0);
    });

    test("a row of 3 or of 1 is noised like a row of 4", async () => {
      for (const shape of [[67, 3], [130], [5, 2, 2]]) {
        const both = [];
        for (const on of [backend, cpu({ precision: "float32" })]) {
          const x0 = randomStream(1).normal(shape, { backend: on });
          const [signal, noise] = [2, 3].map((seed) => randomStream(seed).uniform([shape[0]], { backend: on }));
          both.push(await addNoise(x0, signal, noise, randomStream(7)).noisy.data());
        }
        for (const [i, value] of both[0].entries()) expect(Math.abs(value - both[1][i])).toBeLessThan(1.2e-6);
      }
    });
  });
}

describe("a normal number", () => {
  test("is Box and Muller's, to 1e-6 in a million", () => {
    const drawn = words({ key: [5, 0], index: 3 }, MANY);
    let worst = 0;
    for (let i = 0; i < MANY; i += 2) worst = Math.max(worst, boxMullerError(drawn[i], drawn[i + 1]));
    expect(worst).toBeLessThan(1e-6);
  });

  // Each of log, √, cos and the product is within 1.3 ulp of a result of at most 6.7: see boxMuller.
  test("is within 1.2e-6 for radii from the smallest to the largest", () => {
    const turns = words({ key: [6, 0], index: 0 }, 2 ** 18);
    let worst = 0;
    for (const [i, turn] of turns.entries()) {
      const w = (turns[(i * 7 + 1) % turns.length] >>> (i % 32)) >>> 0;
      worst = Math.max(worst, boxMullerError(w, turn), boxMullerError(~w >>> 0, turn));
    }
    for (const w of [0, 1, 2, 3, 0xb504f2ff, 0xb504f300, 0xb504f3ff, 2 ** 31, 2 ** 32 - 1]) {
      for (const turn of [0, 1, 2 ** 29, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 3 * 2 ** 30, 2 ** 32 - 1]) {
        worst = Math.max(worst, boxMullerError(w, turn));
      }
    }
    expect(worst).toBeLessThan(1.2e-6);
  });
});

describe("distributions, to five standard errors and the 0.1 % quantile of Kolmogorov's statistic", () => {
  const z = randomStream(11).host.normal([MANY]);
  const u = randomStream(12).host.uniform([MANY]);

  test("normal numbers have the moments 0, 1, 0, 3", () => {
    const moments = [1, 2, 3, 4].map((k) => mean(z, (x) => x ** k));
    // Var(zᵏ) = E z²ᵏ − (E zᵏ)².
    for (const [k, [expected, variance]] of [
      [0, 1],
      [1, 2],
      [0, 15],
      [3, 96],
    ].entries()) {
      expect(Math.abs(moments[k] - expected)).toBeLessThan(5 * Math.sqrt(variance / MANY));
    }
  });

  test("normal numbers follow the normal distribution function", () => {
    expect(kolmogorov(z, normalDistribution)).toBeLessThan(1.95);
  });

  test("uniform numbers follow theirs", () => {
    expect(kolmogorov(u, (x) => x)).toBeLessThan(1.95);
    expect(u.every((x) => x >= 0 && x < 1)).toBe(true);
  });

  test("neighbours, draws, seeds and children are uncorrelated", () => {
    const rng = randomStream(11);
    rng.next();
    const others = [
      z.subarray(1),
      z.subarray(4),
      rng.host.normal([MANY]),
      randomStream(12).host.normal([MANY]),
      randomStream(11).split(0).host.normal([MANY]),
      randomStream(11).split("0").host.normal([MANY]),
    ];
    for (const other of others) {
      expect(Math.abs(mean(other, (x, i) => x * z[i]))).toBeLessThan(5 / Math.sqrt(other.length));
    }
  });

  test("integers hit each of their values equally often, and no other", () => {
    const counts = new Map<number, number>();
    for (const k of randomStream(13).host.integers(-2, 8, [MANY])) counts.set(k, (counts.get(k) ?? 0) + 1);
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([-2, -1, 0, 1, 2, 3, 4, 5, 6, 7]);
    const chiSquare = [...counts.values()].reduce((sum, n) => sum + (n - MANY / 10) ** 2 / (MANY / 10), 0);
    expect(chiSquare).toBeLessThan(27.9); // 0.1 % of χ² with nine degrees of freedom
  });

  test("signs are ±1, and trials 1 as often as asked", () => {
    const signs = randomStream(14).host.rademacher([MANY]);
    expect(new Set(signs)).toEqual(new Set([-1, 1]));
    expect(Math.abs(mean(signs, (x) => x))).toBeLessThan(5 / Math.sqrt(MANY));
    const trials = randomStream(15).host.bernoulli(0.1, [MANY]);
    expect(new Set(trials)).toEqual(new Set([0, 1]));
    expect(Math.abs(mean(trials, (x) => x) - 0.1)).toBeLessThan(5 * Math.sqrt(0.09 / MANY));
    expect(
      randomStream(1)
        .host.bernoulli(0, [99])
        .every((x) => x === 0),
    ).toBe(true);
    expect(
      randomStream(1)
        .host.bernoulli(1, [99])
        .every((x) => x === 1),
    ).toBe(true);
  });

  test("next is uniform", () => {
    const rng = randomStream(16);
    expect(
      kolmogorov(
        Float64Array.from({ length: 10_000 }, () => rng.next()),
        (x) => x,
      ),
    ).toBeLessThan(1.95);
  });

  test("permutations hold each index once, and all orders are equally likely", () => {
    const rng = randomStream(17);
    expect([...rng.permutation(1000)].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, k) => k));
    expect(rng.permutation(0)).toEqual(new Uint32Array());
    const counts = new Map<string, number>();
    for (let k = 0; k < 6000; k++) {
      const order = rng.permutation(3).join("");
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(5 * Math.sqrt(1000 * (5 / 6)));
  });
});

describe("a stream", () => {
  test.each(DRAWS)("gives the same first elements of $name to any size", ({ host }) => {
    const large = host(randomStream(3), [9, 7, 11]);
    for (const shape of [[], [1], [5], [64, 3]]) {
      const small = Array.from(host(randomStream(3), shape));
      expect(small).toEqual(Array.from(large).slice(0, small.length));
    }
  });

  test("gives new numbers with each draw, of whatever kind and size", () => {
    const rng = randomStream(3);
    const first = rng.host.uniform([8]);
    const second = rng.host.uniform([8]);
    expect(second).not.toEqual(first);
    const other = randomStream(3);
    other.permutation(100);
    expect(other.host.uniform([8])).toEqual(second);
  });

  test("depends on all 64 bits of its seed", () => {
    const seeds = [0, 1, 2 ** 32, 2 ** 53 - 1, 2n ** 32n + 1n, 2n ** 63n, 2n ** 64n - 1n];
    expect(new Set(seeds.map((seed) => hex(words(randomStream(seed).take() as never, 4)))).size).toBe(seeds.length);
    expect(randomStream(5n).next()).toBe(randomStream(5).next());
  });

  test.each([-1, 1.5, 2 ** 53, Number.NaN, -1n, 2n ** 64n])("refuses the seed %s", (seed) => {
    expect(() => randomStream(seed)).toThrow(`randomStream: seed ${seed}, want an integer from 0 to 2⁵³ − 1`);
    expect(() => torchStream(seed)).toThrow(`torchStream: seed ${seed}`);
  });

  test("refuses shapes and parameters by name, and takes no draw then", () => {
    for (const make of [randomStream, torchStream]) {
      const rng = make(1);
      const before = rng.state();
      const backend = reference;
      expect(() => rng.normal([2, -1], { backend })).toThrow(ShapeError);
      expect(() => rng.normal([2], { backend, std: -1 })).toThrow("normal: mean 0 and std -1");
      expect(() => rng.uniform([2], { backend, low: 2 })).toThrow("uniform: low 2 and high 1");
      expect(() => rng.integers(3, 3, [2], { backend })).toThrow("integers: low 3 and high 3");
      expect(() => rng.integers(0, 2 ** 31, [2], { backend })).toThrow("integers: low 0 and high 2147483648");
      expect(() => rng.rademacher([0.5], { backend })).toThrow("rademacher: shape [0.5]");
      expect(() => rng.bernoulli(1.1, [2], { backend })).toThrow("bernoulli: probability 1.1");
      expect(() => rng.permutation(-1)).toThrow("permutation: n -1");
      expect(() => rng.split(-1)).toThrow("split: label -1");
      expect(rng.state()).toEqual(before);
    }
  });
});

describe("children", () => {
  const first = (rng: RandomStream) => rng.host.normal([4]).join();

  test("are the same for the same label, wherever the parent stands", () => {
    const rng = randomStream(3);
    const child = first(rng.split("data"));
    rng.next();
    expect(first(rng.split("data"))).toBe(child);
  });

  test("differ between labels, types of label, levels and parents", () => {
    const rng = randomStream(3);
    const labels = [0, 1, 2 ** 32, "", "0", "1", "\0", "data", "dropout", "a rather long label", "a rather long labem"];
    const children = labels.map((label) => rng.split(label));
    const streams = [...children, rng, rng.split(0).split(1), rng.split(1).split(0), randomStream(4).split(0)];
    expect(new Set(streams.map((stream) => first(stream))).size).toBe(streams.length);
  });
});

describe.each([
  { name: "randomStream", make: randomStream },
  { name: "torchStream", make: torchStream },
])("$name", ({ make }) => {
  test("resumes from its state through JSON, bit for bit", () => {
    const rng = make(2n ** 40n + 3n);
    rng.host.normal([3]);
    rng.host.uniform([700]);
    const saved = JSON.stringify(rng.state());
    const rest = (stream: RandomStream) => [
      stream.host.normal([3]),
      stream.permutation(9),
      stream.next(),
      stream.split("a").next(),
    ];
    const expected = rest(rng);
    const resumed = make(0);
    resumed.restore(JSON.parse(saved));
    expect(rest(resumed)).toEqual(expected);
  });

  test("refuses the state of another generator", () => {
    expect(() => make(0).restore({ generator: "xorshift" })).toThrow("restore: ");
  });
});

describe("addNoise", () => {
  const backend = reference;
  const ones = (n: number, value = 1) => tensor(new Float32Array(n).fill(value), { backend });

  test("gives the noise that normal would have drawn, and takes one draw", async () => {
    for (const make of [randomStream, torchStream]) {
      const [a, b] = [make(3), make(3)];
      const { noisy, noise } = addNoise(ones(6).reshape([2, 3]), ones(2, 0.5), ones(2, 2), a);
      const expected = b.host.normal([2, 3]);
      expect(await noise.data()).toEqual(expected);
      expect(await noisy.data()).toEqual(expected.map((epsilon) => 0.5 + 2 * epsilon));
      expect(a.next()).toBe(b.next());
    }
  });

  test("is differentiable through a loss that holds the noise too", async () => {
    const x0 = ones(4).reshape([2, 2]);
    const noiseOf = randomStream(3).host.normal([2, 2]);
    // Σ (x0 + ε − ε)² / 2 has the gradient x0.
    const [g] = grad(
      (x) => {
        const { noisy, noise } = addNoise(x, ones(2), ones(2), randomStream(3));
        return noisy.sub(noise).square().sum().mul(0.5);
      },
      [x0],
    );
    for (const value of await g.data()) expect(value).toBeCloseTo(1, 6);
    // ∂/∂noise_b Σ noisy = Σ_j ε_bj.
    const [byNoise] = grad((noise) => addNoise(x0, ones(2), noise, randomStream(3)).noisy.sum(), [ones(2)]);
    expect(await byNoise.data()).toEqual(Float32Array.of(noiseOf[0] + noiseOf[1], noiseOf[2] + noiseOf[3]));
  });

  test("refuses levels that are not one per sample, and takes no draw then", () => {
    const rng = randomStream(3);
    expect(() => addNoise(ones(6).reshape([2, 3]), ones(3), ones(2), rng)).toThrow(
      "noiseAdd: x0 [2, 3], signal [3], noise [2]",
    );
    expect(rng.state()).toEqual(randomStream(3).state());
  });
});

describe.each([
  { name: "randomStream", make: randomStream },
  { name: "torchStream", make: torchStream },
])("dropout with $name", ({ make }) => {
  const backend = reference;
  const x = tensor(new Float32Array(10_000).fill(3), { backend });

  test("drops as many as asked and keeps the mean", async () => {
    const kept = await dropout(x, 0.2, make(5)).data();
    expect(new Set(kept)).toEqual(new Set([0, Math.fround(3 * Math.fround(1 / 0.8))]));
    expect(Math.abs(mean(kept, (y) => y) - 3)).toBeLessThan(5 * 3.75 * Math.sqrt(0.16 / 10_000));
  });

  test("has the gradient of its own mask", async () => {
    const dropped = await dropout(x, 0.2, make(5)).data();
    const [g] = grad((y) => dropout(y, 0.2, make(5)).sum(), [x]);
    expect((await g.data()).map((value) => value * 3)).toEqual(dropped);
  });

  test("of rate 0 is x itself, of rate 1 an error", () => {
    expect(dropout(x, 0, make(5))).toBe(x);
    expect(() => dropout(x, 1, make(5))).toThrow("dropout: rate 1, want it in [0, 1)");
  });
});

function hex(values: Iterable<number>): string {
  return [...values].map((word) => word.toString(16).padStart(8, "0")).join(" ");
}

function mismatches(a: Uint32Array, b: Uint32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((count, word, i) => count + Number(word !== b[i]), 0);
}

function mean(values: ArrayLike<number>, f: (x: number, i: number) => number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += f(values[i], i);
  return sum / values.length;
}

/** √n · sup |F_n − F|. */
function kolmogorov(values: Float32Array | Float64Array, distribution: (x: number) => number): number {
  const sorted = values.slice().sort();
  let largest = 0;
  for (const [i, x] of sorted.entries()) {
    const at = distribution(x);
    largest = Math.max(largest, at - i / sorted.length, (i + 1) / sorted.length - at);
  }
  return largest * Math.sqrt(sorted.length);
}

/** Φ, to 1e-7 (Abramowitz and Stegun 26.2.17). */
function normalDistribution(x: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(x));
  const p = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const tail = (p * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
  return x > 0 ? 1 - tail : tail;
}

/** The distance of boxMuller from the same in float64. */
function boxMullerError(w: number, turn: number): number {
  const odd = (w | 1) >>> 0;
  const cut = Math.clz32(odd) < 8 ? 2 ** (8 - Math.clz32(odd)) : 1; // 24 significant bits count
  const radius = Math.sqrt(-2 * Math.log((Math.floor(odd / cut) * cut) / 2 ** 32));
  const theta = 2 * Math.PI * ((Math.floor(turn / 2 ** 6) + 0.5) / 2 ** 26 - 1 / 8);
  const [a, b] = boxMuller(w, turn);
  return Math.max(Math.abs(a - radius * Math.cos(theta)), Math.abs(b - radius * Math.sin(theta)));
}
