// What is made of the order of elements, of indices along an axis, and of moments: what the ops' cases do not say.
import { type Backend, cpu, crossEntropy, grad, jvp, ones, tensor, wasm, webgpu, zeros } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { generator } from "./ops/derived.ts";

const backends: { name: string; open: () => Promise<Backend>; skip: boolean }[] = [
  { name: "cpu", open: async () => cpu({ poison: true }), skip: false },
  { name: "wasm", open: () => wasm({ poison: true, threads: 1 }), skip: false },
  { name: "webgpu", open: () => webgpu({ poison: true }), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test("equal elements keep their order, zeros of both signs among them, and NaN comes last", async () => {
      const x = tensor(Float32Array.of(1, 0, Number.NaN, -1, 1, -0, Infinity, -Infinity, -1, 0), { backend });
      const up = x.sort();
      expect(await up.indices.array()).toEqual([7, 3, 8, 1, 5, 9, 0, 4, 6, 2]);
      expect(await up.values.array()).toEqual([-Infinity, -1, -1, 0, -0, 0, 1, 1, Infinity, Number.NaN]);
      expect(await x.sort(-1, { descending: true }).indices.array()).toEqual([2, 6, 0, 4, 1, 5, 9, 3, 8, 7]);
    });

    test("long rows are sorted, by indices that make one", async () => {
      const n = 5000;
      const uniform = generator(3);
      const values = Float32Array.from({ length: 2 * n }, () => Math.floor(uniform() * 1000));
      const x = tensor(values, { backend, shape: [2, n] });
      const { values: sorted, indices } = x.sort();
      expect(await sorted.data()).toEqual(Float32Array.of(...values.slice(0, n).sort(), ...values.slice(n).sort()));
      expect(await x.gatherAlong(indices).data()).toEqual(await sorted.data());
      const places = (await indices.data()).slice(0, n);
      for (let i = 1; i < n; i++) {
        if (values[places[i - 1]] === values[places[i]]) expect(places[i - 1]).toBeLessThan(places[i]);
      }
    });

    test("quantiles lie on the line between two elements", async () => {
      const x = tensor(
        [
          [3, 1, 2],
          [10, 40, 20],
        ],
        { backend },
      );
      expect(await x.quantile(0.5, 1).array()).toEqual([2, 20]);
      expect(await x.quantile(0.25, 1, { keepAxes: true }).array()).toEqual([[1.5], [15]]);
      expect(await x.quantile(0, 0).array()).toEqual([3, 1, 2]);
      expect(await x.quantile(1).item()).toBe(40);
      expect(await x.quantile(0.5).item()).toBe(6.5);
      expect(await x.transpose().quantile(0.75, [0, 1]).item()).toBe(17.5);
      const [g] = grad((v) => v.quantile(0.25, 1).sum(), [x]);
      expect(await g.array()).toEqual([
        [0, 0.5, 0.5],
        [0.5, 0, 0.5],
      ]);
    });

    test("the cross-entropy of equal logits is the logarithm of their number", async () => {
      const logits = zeros([2, 3, 5], { backend });
      expect(await crossEntropy(logits, [0, 1, 2, 3, 4, 0]).item()).toBeCloseTo(Math.log(5), 6);
      const labels = tensor(Int32Array.of(0, 1, 2, 3, 4, 0), { backend, shape: [2, 3] });
      const each = crossEntropy(logits, labels, { reduction: "none" });
      expect(each.shape).toEqual([2, 3]);
      expect(await crossEntropy(logits, labels, { reduction: "sum" }).item()).toBeCloseTo(6 * Math.log(5), 5);
      expect(await crossEntropy(zeros([4], { backend }), [2]).item()).toBeCloseTo(Math.log(4), 6);
    });

    test("its gradient is softmax less the right class, over the number of labels", async () => {
      const logits = tensor(
        [
          [1, -2, 0.5],
          [100, 200, -300],
        ],
        { backend },
      );
      const [g] = grad((v) => crossEntropy(v, [2, 0]), [logits]);
      const p = (await logits.softmax().data()).map((q) => q / 2);
      p[2] -= 0.5;
      p[3] -= 0.5;
      for (const [i, value] of (await g.data()).entries()) expect(value).toBeCloseTo(p[i], 6);
    });

    test("norms, and their gradient where they are 0", async () => {
      const x = tensor(
        [
          [3, -4],
          [0, 0],
        ],
        { backend },
      );
      expect(await x.norm(1).array()).toEqual([5, 0]);
      expect(await x.norm().item()).toBe(5);
      const [g] = grad((v) => v.norm(1).sum(), [x]);
      for (const [i, value] of (await g.data()).entries()) expect(value).toBeCloseTo([0.6, -0.8, 0, 0][i], 6);
    });

    test("variance and standard deviation, of samples and of all there is", async () => {
      const x = tensor(
        [
          [1, 2, 3, 4],
          [5, 5, 5, 5],
        ],
        { backend },
      );
      const std = await x.std(1).data();
      expect(std[0]).toBeCloseTo(Math.sqrt(5 / 3), 6);
      expect(std[1]).toBe(0);
      expect(await x.variance(1, { correction: 0, keepAxes: true }).array()).toEqual([[1.25], [0]]);
    });

    test("bools combine", async () => {
      const x = tensor([-1, 0, 2, Number.NaN], { backend });
      const [low, high] = [x.less(1), x.greater(-0.5)];
      expect(await low.logicalAnd(high).array()).toEqual([0, 1, 0, 0]);
      expect(
        await low
          .slice([0, 3])
          .logicalOr(high.slice([0, 3]))
          .array(),
      ).toEqual([1, 1, 1]);
      expect(await low.slice([0, 3]).logicalNot().array()).toEqual([0, 0, 1]);
      expect(await x.isFinite().array()).toEqual([1, 1, 1, 0]);
      expect(await x.slice([0, 3]).notEqual(0).array()).toEqual([1, 0, 1]);
      expect(await low.notEqual(high).slice([0, 3]).array()).toEqual([1, 0, 1]);
    });

    test("the two forms of GELU are within 5e-4 of each other", async () => {
      const x = tensor(
        Float32Array.from({ length: 1001 }, (_, k) => k / 100 - 5),
        { backend },
      );
      const [exact, approximate] = [await x.gelu().data(), await x.gelu({ approximate: "tanh" }).data()];
      const apart = Array.from(exact)
        .map((y, i) => Math.abs(y - approximate[i]))
        .reduce((a, b) => Math.max(a, b));
      expect(apart).toBeGreaterThan(1e-4);
      expect(apart).toBeLessThan(5e-4);
    });
  });
}

test("a running sum's derivative along a direction is the running sum of the direction", async () => {
  const backend = cpu({ precision: "float64" });
  const x = ones([2, 3], { backend });
  const direction = tensor(
    [
      [1, 10, 100],
      [2, 20, 200],
    ],
    { backend },
  );
  const { tangent } = jvp((v) => v.cumsum(1), [x], [direction]);
  expect(await tangent.array()).toEqual([
    [1, 11, 111],
    [2, 22, 222],
  ]);
});
