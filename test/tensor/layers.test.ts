// Tensor methods that networks are made of, where they say more than one op's cases do.
import { type Backend, concat, cpu, grad, type Tensor, tensor, webgpu } from "@pkg/tensor";
import { afterAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { generator } from "./ops/derived.ts";

const exact = cpu({ precision: "float64" });

const random = (shape: readonly number[], seed: number, backend: Backend = exact): Tensor => {
  const uniform = generator(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, () => 2 * uniform() - 1),
    { backend, shape },
  );
};

/** The largest difference between two tensors' elements. */
const apart = async (a: Tensor, b: Tensor): Promise<number> => {
  expect(a.shape).toEqual(b.shape);
  const [x, y] = [await a.data(), await b.data()];
  return Array.from(x).reduce((most, value, i) => Math.max(most, Math.abs(value - y[i])), 0);
};

/** float32 results of a few dozen terms of about 1. */
const ROUNDING = 1e-5;

describe("attention", () => {
  const [q, k, v] = [random([2, 7, 8], 1), random([2, 5, 8], 2), random([2, 5, 4], 3)];

  test("a mask hides keys as if they were not there", async () => {
    const seen = tensor(Uint32Array.of(1, 1, 0, 1, 0), { backend: exact, dtype: "bool" });
    const [keys, values] = [k, v].map((x) =>
      concat(
        [0, 1, 3].map((key) => x.slice(null, [key, key + 1])),
        1,
      ),
    );
    expect(await apart(q.attention(k, v, { mask: seen }), q.attention(keys, values))).toBeLessThan(1e-12);
  });

  test("a query whose bool mask hides every key takes the mean of the values, without a gradient of the scores", async () => {
    const none = tensor(new Float64Array(35), { backend: exact, shape: [7, 5] }).cast("bool");
    expect(
      await apart(q.attention(k, v, { mask: none }), v.mean(-2, { keepAxes: true }).expand(q.attention(k, v).shape)),
    ).toBeLessThan(1e-12);
    const [g] = grad((x) => x.attention(k, v, { mask: none }).square().sum(), [q]);
    expect(await g.abs().max().item()).toBe(0);
  });

  test("an additive mask adds to the scores, and has a gradient", async () => {
    const mask = random([7, 5], 4);
    const byHand = q.matmul(k.transpose()).mul(0.5).add(mask).softmax().matmul(v);
    expect(await apart(q.attention(k, v, { scale: 0.5, mask }), byHand)).toBeLessThan(1e-12);
    const [g] = grad((m) => q.attention(k, v, { mask: m }).square().sum(), [mask]);
    // Adding the same number to all scores of a query changes nothing.
    expect(await apart(g.sum(-1), g.sum(-1).mul(0))).toBeLessThan(1e-12);
  });

  test("leading axes broadcast, and the gradient of one that stretches is summed", async () => {
    const one = k.slice([0, 1]);
    const stretched = one.expand([2, 5, 8]).contiguous();
    expect(await apart(q.attention(one, v), q.attention(stretched, v))).toBeLessThan(1e-12);
    const f = (x: Tensor) => q.attention(x, v).square().sum();
    const [[narrow], [wide]] = [grad(f, [one]), grad(f, [stretched])];
    expect(await apart(narrow, wide.sum(0, { keepAxes: true }))).toBeLessThan(1e-12);
  });

  test("wrong shapes are refused", () => {
    expect(() => q.attention(v, v)).toThrow("attention: q [2, 7, 8], k [2, 5, 4], v [2, 5, 4]");
    expect(() => random([8], 1).attention(k, v)).toThrow("want at least two axes");
  });
});

describe.skipIf(!gpuAvailable).each(["direct", "tiled"] as const)("attention on webgpu, %s", (profile) => {
  let backend: Backend | undefined;
  afterAll(() => backend?.dispose());

  test("heads are read in place, and so is the cotangent of heads put side by side", async () => {
    backend = await webgpu({ profile, poison: true });
    const [batch, tokens, heads, depth] = [2, 33, 2, 8];
    const mixed = (qkv: Tensor): Tensor => {
      const perHead = qkv.permute([2, 0, 3, 1, 4]);
      const [q, k, v] = [0, 1, 2].map((part) => perHead.slice(part));
      return q
        .attention(k, v)
        .permute([0, 2, 1, 3])
        .reshape([batch, tokens, heads * depth]);
    };
    const f = (qkv: Tensor) => mixed(qkv).pow(3).sum();
    const [here, there] = [backend, exact].map((on) => random([batch, tokens, 3, heads, depth], 5, on));
    expect(await apart(mixed(here), mixed(there))).toBeLessThan(ROUNDING);
    expect(await apart(grad(f, [here])[0], grad(f, [there])[0])).toBeLessThan(ROUNDING);
  });

  test("more scores than are worked on at once, of rows that are no quads", async () => {
    backend ??= await webgpu({ profile, poison: true });
    const f = (q: Tensor, k: Tensor, v: Tensor) => q.attention(k, v).square().sum();
    const operands = (on: Backend) => [
      random([3, 2, 450, 3], 6, on),
      random([3, 2, 430, 3], 7, on),
      random([3, 2, 430, 5], 8, on),
    ];
    const [[q, k, v], there] = [operands(backend), operands(exact)];
    expect(await apart(q.attention(k, v), there[0].attention(there[1], there[2]))).toBeLessThan(ROUNDING);
    const [found, wanted] = [[q, k, v], there].map((all) => grad(f as (...all: Tensor[]) => Tensor, all));
    for (const [at, gradient] of found.entries()) expect(await apart(gradient, wanted[at])).toBeLessThan(ROUNDING);
  });

  test("no queries, no samples and no width give nothing", async () => {
    backend ??= await webgpu({ profile, poison: true });
    const nothing = [
      [
        [2, 0, 3],
        [2, 4, 3],
        [2, 4, 5],
      ],
      [
        [0, 2, 3],
        [0, 4, 3],
        [0, 4, 5],
      ],
      [
        [2, 2, 3],
        [2, 4, 3],
        [2, 4, 0],
      ],
    ];
    for (const shapes of nothing) {
      const [q, k, v] = shapes.map((shape, seed) => random(shape, seed, backend));
      const [dq, dk, dv] = grad((q, k, v) => q.attention(k, v).sum(), [q, k, v]);
      for (const zero of [q.attention(k, v), dq, dk, dv])
        expect([...(await zero.data())].every((x) => x === 0)).toBe(true);
    }
  });
});

describe("rows", () => {
  const x = random([3, 4, 5], 6);

  test("layerNorm leaves every row with mean 0 and variance 1", async () => {
    const [scale, bias] = [random([5], 7).mul(0).add(1), random([5], 8).mul(0)];
    const y = x.layerNorm(scale, bias, { epsilon: 0 });
    expect(await apart(y.mean(-1), y.mean(-1).mul(0))).toBeLessThan(1e-12);
    expect(await apart(y.variance(-1, { correction: 0 }), y.mean(-1).mul(0).add(1))).toBeLessThan(1e-12);
  });

  test("variance divides by n − 1 unless told otherwise", async () => {
    const four = tensor([1, 2, 3, 4], { backend: exact });
    expect(await four.variance().item()).toBeCloseTo(5 / 3, 12);
    expect(await four.variance(0, { correction: 0, keepAxes: true }).array()).toEqual([1.25]);
  });

  test("softmax along any axis adds up to 1, and logSoftmax is its logarithm", async () => {
    for (const axis of [0, 1, -1]) {
      const y = x.softmax(axis);
      expect(await apart(y.sum(axis), y.sum(axis).mul(0).add(1))).toBeLessThan(1e-12);
      expect(await apart(x.logSoftmax(axis), y.log())).toBeLessThan(1e-12);
    }
  });

  test("logSumExp over several axes is the logarithm of the sum", async () => {
    expect(await apart(x.logSumExp([0, 2]), x.exp().sum([0, 2]).log())).toBeLessThan(1e-12);
    expect(x.logSumExp([0, 2], { keepAxes: true }).shape).toEqual([1, 4, 1]);
    expect(await tensor([1e4, 1e4], { backend: exact }).logSumExp().item()).toBeCloseTo(1e4 + Math.LN2, 8);
  });

  test("argmax gives the first of equal ones", async () => {
    const y = tensor(
      [
        [1, 3, 3],
        [5, 5, 0],
      ],
      { backend: exact },
    );
    expect(await y.argmax().array()).toEqual([1, 0]);
    expect(await y.argmax(0).array()).toEqual([1, 1, 0]);
  });
});

describe("images", () => {
  const x = random([2, 4, 6, 3], 9);

  test("averages of an upsampled image are the image", async () => {
    expect(x.upsampleNearest([3, 2]).shape).toEqual([2, 12, 12, 3]);
    expect(await apart(x.upsampleNearest([3, 2]).averagePool([3, 2]), x)).toBeLessThan(1e-12);
  });

  test("averages count the zeros of the padding", async () => {
    const one = tensor([8], { backend: exact, shape: [1, 1, 1, 1] });
    expect(await one.averagePool(2, { stride: 1, padding: 1 }).array()).toEqual([
      [
        [[2], [2]],
        [[2], [2]],
      ],
    ]);
  });

  test("maxPool finds what averages hide, and never the padding", async () => {
    const y = tensor(
      [
        [1, 2, 3],
        [4, -5, 6],
        [7, 8, 9],
      ],
      { backend: exact },
    ).reshape([1, 3, 3, 1]);
    expect(await y.maxPool(2, { stride: 1 }).reshape([2, 2]).array()).toEqual([
      [4, 6],
      [8, 9],
    ]);
    const negative = y.square().neg();
    expect(await negative.maxPool(2, { padding: 1 }).reshape([2, 2]).array()).toEqual([
      [-1, -4],
      [-16, -25],
    ]);
    const [g] = grad((z) => z.maxPool(3).sum(), [y]);
    expect(await g.reshape([9]).array()).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1]);
  });

  test("images of the wrong rank and windows that do not fit are refused", () => {
    expect(() => random([4, 4], 1).upsampleNearest(2)).toThrow("upsampleNearest: shape [4, 4]");
    expect(() => x.averagePool(7)).toThrow("windowSum: windows of 7 × 7 in steps of 7 × 7 over 4 × 6");
    expect(() => x.maxPool(5)).toThrow("maxPool: windows of 5 × 5");
  });
});

test("one-hot vectors pick the rows that gather reads", async () => {
  const table = random([5, 3], 10);
  const indices = tensor(Int32Array.of(4, 0, 4), { backend: exact });
  expect(await apart(indices.oneHot(5).matmul(table), table.gather(indices))).toBe(0);
  expect(
    await apart(
      indices
        .oneHot(5)
        .transpose()
        .matmul(random([3, 2], 11)),
      random([3, 2], 11).scatterAdd(indices, 5),
    ),
  ).toBe(0);
});
