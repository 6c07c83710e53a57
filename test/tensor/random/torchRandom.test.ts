// torchStream and torchCudaStream against what PyTorch drew: golden/torch.json, made by golden/makeTorch.py.
import { readFileSync } from "node:fs";
import { cpu, type RandomStream, torchCudaStream, torchStream } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

interface Ends {
  readonly size: number;
  readonly first: readonly number[];
  readonly last: readonly number[];
}

interface CpuDraws {
  readonly seed: number;
  readonly randn: Readonly<Record<string, readonly number[]>>;
  readonly randnTwice: readonly (readonly number[])[];
  readonly randnMany: Ends;
  readonly normal: readonly number[];
  readonly rand: readonly number[];
  readonly uniform: readonly number[];
  readonly randint: readonly number[];
  readonly randperm: readonly number[];
  readonly bernoulli: readonly number[];
  readonly mixed: readonly (readonly number[])[];
}

interface Layer<Weight> {
  readonly weight: Weight;
  readonly bias: readonly number[];
}

interface Init {
  readonly seed: number;
  readonly linear: Layer<readonly (readonly number[])[]>;
  readonly conv2d: Layer<Ends>;
}

interface CudaDraws {
  readonly seed: number;
  readonly randn: Readonly<Record<string, readonly number[]>>;
  readonly randnTwice: readonly (readonly number[])[];
  readonly randnMany: Readonly<Record<string, readonly number[]>>;
  readonly randnAfterMany: readonly number[];
  readonly rand: readonly number[];
  readonly uniform: readonly number[];
  readonly randint: readonly number[];
}

interface Golden {
  readonly cpu: readonly CpuDraws[];
  readonly init: readonly Init[];
  readonly cuda: {
    readonly multiprocessors: number;
    readonly threadsPerMultiprocessor: number;
    readonly draws: readonly CudaDraws[];
  } | null;
}

const golden: Golden = JSON.parse(readFileSync(new URL("../../golden/torch.json", import.meta.url), "utf8"));

/** Torch's vector units compute log and cos to an ulp or two, and a normal number is at most 5.8: 4 · 2⁻²⁴ · 5.8. */
const CPU_NORMAL = 2e-6;
/** CUDA's fast sine is 2⁻²¹ off or more, times a radius of at most 6.7. */
const CUDA_NORMAL = 1e-5;

/** Torch computes x · range + from with one rounding or two, as its compiler pleased: half an ulp of the larger bound. */
const UNIFORM = 2 ** -24;

test("the first numbers of seed 0", () => {
  const expected = [-1.1258, -1.1524, -0.2506, -0.4339, 0.8487, 0.692, -0.316, -2.1152];
  near(torchStream(0).host.normal([16]).subarray(0, 8), expected, 5e-5);
});

describe.each(golden.cpu)("torch.manual_seed($seed)", (wanted) => {
  const seeded = (): RandomStream => torchStream(wanted.seed);

  test.each(Object.entries(wanted.randn))("randn(%s)", (n, values) => {
    near(seeded().host.normal([Number(n)]), values, CPU_NORMAL);
  });

  test("randn twice, with the half of a pair kept between", () => {
    const rng = seeded();
    near(rng.host.normal([3]), wanted.randnTwice[0], CPU_NORMAL);
    near(rng.host.normal([4]), wanted.randnTwice[1], CPU_NORMAL);
  });

  test("randn(1000)", () => {
    endsNear(seeded().host.normal([10, 100]), wanted.randnMany, CPU_NORMAL);
  });

  test("normal_(−0.3, 0.7)", () => {
    near(seeded().host.normal([20], { mean: -0.3, std: 0.7 }), wanted.normal, CPU_NORMAL);
  });

  test("rand, to the bit", () => {
    near(seeded().host.uniform([20]), wanted.rand, 0);
  });

  test("uniform_(−0.3, 0.9)", () => {
    near(seeded().host.uniform([20], { low: -0.3, high: 0.9 }), wanted.uniform, UNIFORM);
  });

  test("randint, randperm and bernoulli", () => {
    near(seeded().host.integers(-3, 1000, [20]), wanted.randint, 0);
    near(seeded().permutation(20), wanted.randperm, 0);
    near(seeded().host.bernoulli(0.3, [20]), wanted.bernoulli, 0);
  });

  test("one draw after another", () => {
    const rng = seeded();
    near(rng.host.uniform([2]), wanted.mixed[0], 0);
    near(rng.host.normal([20]), wanted.mixed[1], CPU_NORMAL);
    near(rng.host.integers(0, 10, [3]), wanted.mixed[2], 0);
  });

  test("the same as a tensor", async () => {
    near(await seeded().normal([5, 7], { backend: cpu() }).data(), wanted.randn[35], CPU_NORMAL);
  });
});

// U(±1 / √fan_in), weight then bias, in the order of construction.
test.each(golden.init)("Linear and Conv2d after torch.manual_seed($seed)", ({ seed, linear, conv2d }) => {
  const rng = torchStream(seed);
  const uniform = (size: number, fanIn: number) =>
    rng.host.uniform([size], { low: -1 / Math.sqrt(fanIn), high: 1 / Math.sqrt(fanIn) });
  near(uniform(4 * 6, 6), linear.weight.flat(), UNIFORM);
  near(uniform(4, 6), linear.bias, UNIFORM);
  endsNear(uniform(5 * 3 * 9, 27), conv2d.weight, UNIFORM);
  near(uniform(5, 27), conv2d.bias, UNIFORM);
});

// Present in torch.json when it was made on a machine with a GPU.
describe.each(golden.cuda?.draws ?? [])("torch.manual_seed($seed) on CUDA", (wanted) => {
  const seeded = (): RandomStream => torchCudaStream(wanted.seed, golden.cuda ?? { multiprocessors: 1 });

  test.each(Object.entries(wanted.randn))("randn(%s)", (n, values) => {
    near(seeded().host.normal([Number(n)]), values, CUDA_NORMAL);
  });

  test("randn twice", () => {
    const rng = seeded();
    near(rng.host.normal([3]), wanted.randnTwice[0], CUDA_NORMAL);
    near(rng.host.normal([4]), wanted.randnTwice[1], CUDA_NORMAL);
  });

  test("large draws, and one after them", () => {
    for (const [n, values] of Object.entries(wanted.randnMany)) {
      const drawn = seeded().host.normal([Number(n)]);
      near(
        drawn.filter((_, i) => i % 2 ** 16 === 0),
        values,
        CUDA_NORMAL,
      );
    }
    const rng = seeded();
    rng.host.uniform([2 ** 21 + 1]);
    near(rng.host.normal([5]), wanted.randnAfterMany, CUDA_NORMAL);
  });

  test("rand, uniform_ and randint", () => {
    near(seeded().host.uniform([20]), wanted.rand, 0);
    near(seeded().host.uniform([20], { low: -0.3, high: 0.9 }), wanted.uniform, UNIFORM);
    near(seeded().host.integers(-3, 1000, [20]), wanted.randint, 0);
  });
});

describe("torch.randn on CUDA, as people report it", () => {
  const ROUNDED = 6e-5;

  test("of seed 0", () => {
    const expected = [-0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284, -1.0745, -0.3631];
    near(torchCudaStream(0, { multiprocessors: 80 }).host.normal([10]), expected, ROUNDED);
  });

  // pytorch/pytorch#158398: a small GPU's threads go round more than once, and then the numbers depend on their count.
  test("of seed 42 and shape [1, 64, 2048] on 28 multiprocessors of 1536 threads", () => {
    const small = { multiprocessors: 28, threadsPerMultiprocessor: 1536 };
    const drawn = torchCudaStream(42, small).host.normal([1, 64, 2048]);
    const rows: Readonly<Record<number, readonly number[]>> = {
      0: [0.194, 2.1614, -0.1721, 1.454, -2.7733, -0.8932],
      2: [1.1346, -0.6329, -0.9147, -1.0001, -1.1552, -0.6955],
      61: [-0.4861, 0.3358, 1.0578, -0.7282, 0.5087, 0.1318],
      62: [0.7881, 0.8339, -1.1424, -0.6297, -1.1112, -0.4091],
      63: [-1.2356, -0.4083, -0.4695, -0.4841, 1.285, -0.0282],
    };
    for (const [row, expected] of Object.entries(rows)) {
      const found = drawn.subarray(2048 * Number(row), 2048 * (Number(row) + 1));
      near([...found.subarray(0, 3), ...found.subarray(-3)], expected, ROUNDED);
    }
  });

  test("goes on where the last draw stopped", () => {
    const stream = () => torchCudaStream(0, { multiprocessors: 1, threadsPerMultiprocessor: 256 });
    const all = stream().host.uniform([2048]);
    const rng = stream();
    rng.host.uniform([1]);
    const resumed = torchCudaStream(9, { multiprocessors: 1, threadsPerMultiprocessor: 256 });
    resumed.restore(JSON.parse(JSON.stringify(rng.state())));
    // 256 threads: elements 0, 256, 512 and 768 are the first thread's first call, 1024 begins its second.
    expect(rng.host.uniform([1])[0]).toBe(all[1024]);
    expect(resumed.host.uniform([1])[0]).toBe(all[1024]);
  });

  test("has no permutation", () => {
    const rng = torchCudaStream(0, { multiprocessors: 132 });
    expect(() => rng.permutation(3)).toThrow("permutation: torch.randperm on CUDA");
  });
});

function near(found: ArrayLike<number>, wanted: readonly number[], tolerance: number): void {
  expect(found.length).toBe(wanted.length);
  for (const [i, value] of wanted.entries()) {
    expect(Math.abs(found[i] - value), `element ${i}: ${found[i]}, torch has ${value}`).toBeLessThanOrEqual(tolerance);
  }
}

function endsNear(found: Float32Array, { size, first, last }: Ends, tolerance: number): void {
  expect(found.length).toBe(size);
  near(found.subarray(0, first.length), first, tolerance);
  near(found.subarray(-last.length), last, tolerance);
}
