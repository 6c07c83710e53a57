// Random shapes against obvious loops over plain arrays: broadcasting, slices, reductions, chains of views; and the sizes around tiles.
import { type Backend, concat, cpu, grad, ones, type Shape, type Tensor, wasm, webgpu, zeros } from "@pkg/tensor";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Slice } from "../../../packages/tensor/src/ops/layout/views.ts";
import { sizeOf } from "../../../packages/tensor/src/shape.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import {
  at,
  build,
  expectEqual,
  indicesOf,
  type Plain,
  place,
  quarters,
  random,
  read,
  remodelled,
  viewed,
} from "./derive/plain.ts";

const seed = fc.integer({ min: 1, max: 1e6 });
const shapeUpTo = (rank: number, axis = 4): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: 0, max: axis }), { maxLength: rank });

/** A shape, and what of it broadcasts to it: leading axes left out, others of size 1. */
const stretching = fc
  .tuple(shapeUpTo(6), fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), fc.nat(6))
  .map(([shape, isOne, dropped]) => ({
    shape,
    narrow: shape.map((n, k) => (isOne[k] ? 1 : n)).slice(Math.min(dropped, shape.length)),
  }));

const stretched = (x: Plain, shape: Shape): Plain =>
  build(shape, (index) =>
    at(
      x,
      index.slice(shape.length - x.shape.length).map((i, k) => (x.shape[k] === 1 ? 0 : i)),
    ),
  );

/** [from, to, step] as Python's slices: what bounds mean, written as its documentation does. */
const sliceIndices = (n: number, [from, to, step = 1]: readonly (number | null | undefined)[]): number[] => {
  const by = step ?? 1;
  const clamp = (bound: number) => {
    const fromStart = bound < 0 ? bound + n : bound;
    return by > 0 ? Math.min(Math.max(fromStart, 0), n) : Math.min(Math.max(fromStart, -1), n - 1);
  };
  const start = from == null ? (by > 0 ? 0 : n - 1) : clamp(from);
  const stop = to == null ? (by > 0 ? n : -1) : clamp(to);
  const found: number[] = [];
  for (let i = start; by > 0 ? i < stop : i > stop; i += by) found.push(i);
  return found;
};

const bound = fc.oneof(fc.constant(null), fc.integer({ min: -6, max: 6 }));
const part: fc.Arbitrary<Slice> = fc.oneof(
  fc.constant(null),
  fc.tuple(bound, bound, fc.constantFrom(1, 2, 3, -1, -2)).map(([from, to, step]): Slice => [from, to, step]),
);

const backends: { name: string; open: () => Promise<Backend>; skip: boolean; runs: number }[] = [
  { name: "cpu float32", open: async () => cpu({ poison: true }), skip: false, runs: 100 },
  { name: "wasm", open: () => wasm({ poison: true, threads: 2 }), skip: false, runs: 100 },
  { name: "webgpu", open: () => webgpu({ poison: true, profile: "direct" }), skip: !gpuAvailable, runs: 40 },
  {
    name: "webgpu with the kernels for GPUs",
    open: () => webgpu({ poison: true, profile: "tiled" }),
    skip: !gpuAvailable,
    runs: 20,
  },
];

for (const { name, open, skip, runs } of backends) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());
    const options = { numRuns: runs, seed: 1 };

    test("operands of any shapes that broadcast", () =>
      fc.assert(
        fc.asyncProperty(stretching, seed, async ({ shape, narrow }, s) => {
          const [a, b] = [random(shape, s), random(narrow, s + 1)];
          const [x, y] = [place(a, backend), place(b, backend)];
          const other = stretched(b, shape);
          const zipped = (f: (p: number, q: number) => number): Plain => ({
            shape,
            data: a.data.map((p, i) => f(p, other.data[i])),
          });
          expectEqual(
            await read(x.add(y)),
            zipped((p, q) => Math.fround(p + q)),
          );
          expectEqual(
            await read(y.mul(x)),
            zipped((p, q) => Math.fround(p * q)),
          );
          expectEqual(
            await read(x.less(y)),
            zipped((p, q) => Number(p < q)),
          );
          expectEqual(
            await read(x.less(y).where(x, y)),
            zipped((p, q) => Math.min(p, q)),
          );
          // The gradient of the narrow one is the sum over what it was stretched along: here a count.
          const [g] = grad((v) => x.add(v).sum(), [y]);
          expectEqual(
            await read(g),
            build(narrow, () => sizeOf(shape) / sizeOf(narrow)),
          );
        }),
        options,
      ));

    test("slices with any bounds and steps, and their gradients", () =>
      fc.assert(
        fc.asyncProperty(
          shapeUpTo(4, 5),
          fc.array(part, { minLength: 4, maxLength: 4 }),
          seed,
          async (shape, all, s) => {
            const parts = all.slice(0, shape.length);
            const a = random(shape, s);
            const chosen = shape.map((n, k) => sliceIndices(n, (parts[k] ?? []) as readonly (number | null)[])); // numbers alone are not drawn
            const wanted = build(
              chosen.map(({ length }) => length),
              (index) =>
                at(
                  a,
                  index.map((i, k) => chosen[k][i]),
                ),
            );
            expectEqual(await read(place(a, backend).slice(...parts)), wanted);
            const [g] = grad((v) => v.slice(...parts).sum(), [place(a, backend)]);
            expectEqual(
              await read(g),
              build(shape, (index) => Number(index.every((i, k) => chosen[k].includes(i)))),
            );
          },
        ),
        options,
      ));

    test("sums, means, extremes and their places over any axes", () =>
      fc.assert(
        fc.asyncProperty(
          shapeUpTo(5, 5),
          fc.array(fc.boolean(), { minLength: 5, maxLength: 5 }),
          seed,
          async (shape, over, s) => {
            const axes = shape.flatMap((_, k) => (over[k] ? [k] : []));
            const a = quarters(shape, s);
            const x = place(a, backend).permute(shape.map((_, k) => k));
            const kept = shape.map((n, k) => (axes.includes(k) ? 1 : n));
            const folded = (f: (values: number[]) => number): Plain =>
              build(kept, (index) =>
                f(
                  indicesOf(shape)
                    .filter((i) => i.every((j, k) => axes.includes(k) || j === index[k]))
                    .map((i) => at(a, i)),
                ),
              );
            const sum = (values: number[]) => values.reduce((p, q) => p + q, 0);
            const count = axes.reduce((n, axis) => n * shape[axis], 1);
            expectEqual(await read(x.sum(axes, { keepAxes: true })), folded(sum));
            const dropped = shape.filter((_, k) => !axes.includes(k));
            expectEqual(await read(x.sum(axes)), { shape: dropped, data: folded(sum).data });
            if (count === 0) return;
            expectEqual(
              await read(x.max(axes, { keepAxes: true })),
              folded((values) => Math.max(...values)),
            );
            expectEqual(
              await read(x.min(axes, { keepAxes: true })),
              folded((values) => Math.min(...values)),
            );
            const means = await read(x.mean(axes, { keepAxes: true }));
            for (const [i, m] of folded((values) => sum(values) / count).data.entries())
              expect(means.data[i]).toBeCloseTo(m, 5);
          },
        ),
        options,
      ));

    /** A step of a chain of views: what it does to a tensor and to the model. */
    const step = fc.record({
      kind: fc.constantFrom("permute", "reshape", "flip", "expand", "slice", "squeeze"),
      s: fc.nat(1e6),
    });

    test("chains of views, read and differentiated", () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 4 }),
          fc.array(step, { minLength: 1, maxLength: 6 }),
          seed,
          async (shape, steps, s) => {
            let model = random(shape, s);
            let place0 = build(shape, () => 0);
            place0 = { shape, data: place0.data.map((_, i) => i) };
            const apply = (v: Tensor) => steps.reduce((x, { kind, s: choice }) => viewed(x, kind, choice), v);
            for (const { kind, s: choice } of steps) {
              model = remodelled(model, kind, choice);
              place0 = remodelled(place0, kind, choice);
            }
            const x = place({ shape, data: random(shape, s).data }, backend);
            expectEqual(await read(apply(x)), model);
            const [g] = grad((v) => apply(v).sum(), [x]);
            const uses = new Array<number>(sizeOf(shape)).fill(0);
            for (const i of place0.data) uses[i]++;
            expectEqual(await read(g), { shape, data: uses });
          },
        ),
        options,
      ));

    test.each([1, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257])(
      "lines of %i elements, along either axis",
      async (n) => {
        for (const axis of [0, 1]) {
          const shape = axis === 0 ? [n, 3] : [3, n];
          const a = quarters(shape, n);
          const x = place(a, backend);
          const line = (k: number) => Array.from({ length: n }, (_, i) => at(a, axis === 0 ? [i, k] : [k, i]));
          const lines = [0, 1, 2].map(line);
          /** One number a line, or one a place of each line. */
          const per = (f: (values: number[]) => number): Plain => ({ shape: [3], data: lines.map(f) });
          const along = (f: (values: number[]) => number[]): Plain => {
            const results = lines.map(f);
            return build(shape, ([i, j]) => (axis === 0 ? results[j][i] : results[i][j]));
          };
          const order = (values: number[]) => values.map((_, i) => i).sort((i, j) => values[i] - values[j] || i - j);
          expectEqual(
            await read(x.sum(axis)),
            per((v) => v.reduce((p, q) => p + q)),
          );
          expectEqual(
            await read(x.max(axis)),
            per((v) => Math.max(...v)),
          );
          expectEqual(
            await read(x.argmax(axis)),
            per((v) => v.indexOf(Math.max(...v))),
          );
          expectEqual(
            await read(x.argmin(axis)),
            per((v) => v.indexOf(Math.min(...v))),
          );
          expectEqual(
            await read(x.cumsum(axis)),
            along((v) => v.map((_, i) => v.slice(0, i + 1).reduce((p, q) => p + q))),
          );
          const { values, indices } = x.sort(axis);
          expectEqual(
            await read(values),
            along((v) => order(v).map((i) => v[i])),
          );
          expectEqual(await read(indices), along(order));
          expectEqual(await read(x.gatherAlong(indices, axis)), await read(values));
          const down = x.sort(axis, { descending: true });
          expectEqual(
            await read(down.indices),
            along((v) => v.map((_, i) => i).sort((i, j) => v[j] - v[i] || i - j)),
          );
          const total = (v: number[]) => v.reduce((p, q) => p + Math.exp(q), 0);
          const softmax = await read(x.softmax(axis));
          for (const [i, p] of along((v) => v.map((q) => Math.exp(q) / total(v))).data.entries()) {
            expect(Math.abs(softmax.data[i] / p - 1)).toBeLessThan(2e-6);
          }
          const logs = await read(x.logSumExp(axis));
          for (const [i, p] of per((v) => Math.log(total(v))).data.entries()) expect(logs.data[i]).toBeCloseTo(p, 5);
        }
      },
    );

    test("tensors of rank 0 to 8, and without elements", async () => {
      for (let rank = 0; rank <= 8; rank++) {
        for (const empty of [-1, ...Array.from({ length: rank }, (_, k) => k)]) {
          const shape = Array.from({ length: rank }, (_, k) => (k === empty ? 0 : 1 + (k % 2)));
          const x = place(random(shape, rank + 1), backend);
          const size = sizeOf(shape);
          expect((await x.exp().data()).length).toBe(size);
          expect((await x.add(1).mul(x).neg().data()).length).toBe(size);
          expect((await x.sum().data()).length).toBe(1);
          if (size === 0) expect(await x.sum().item()).toBe(0);
          if (rank === 0) continue;
          const axis = rank - 1;
          expect(x.cumsum(axis).shape).toEqual(shape);
          expect((await x.cumsum(0).data()).length).toBe(size);
          expect((await x.sort(0).values.data()).length).toBe(size);
          expect((await x.flip().transpose(0, axis).contiguous().data()).length).toBe(size);
          expect((await concat([x, x], axis).data()).length).toBe(2 * size);
          expect((await x.pad(shape.map(() => [1, 0] as const)).data()).length).toBe(sizeOf(shape.map((n) => n + 1)));
          expect((await x.cast("int32").data()).length).toBe(size);
          if (shape[axis] > 0) {
            expect((await x.softmax().data()).length).toBe(size);
            expect((await x.logSumExp(axis).data()).length).toBe(size / shape[axis]);
            expect((await x.max(axis).data()).length).toBe(size / shape[axis]);
            expect((await x.quantile(0.3, axis).data()).length).toBe(size / shape[axis]);
          }
          if (rank < 8) expect((await x.unsqueeze(0).data()).length).toBe(size);
        }
      }
    });

    test("products of matrices without rows, columns or terms", async () => {
      for (const [m, k, n] of [
        [0, 3, 2],
        [2, 0, 3],
        [2, 3, 0],
        [0, 0, 0],
      ]) {
        const y = ones([m, k], { backend }).matmul(ones([k, n], { backend }));
        expectEqual(
          await read(y),
          build([m, n], () => 0),
        );
      }
      expect(
        (
          await zeros([0, 2, 3], { backend })
            .matmul(ones([3, 4], { backend }))
            .data()
        ).length,
      ).toBe(0);
    });
  });
}
