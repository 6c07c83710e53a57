// Who owns a tensor: tidy scopes, reference counts, budgets, and the garbage collector behind them.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  type Backend,
  full,
  keep,
  liveTensors,
  OutOfMemoryError,
  ones,
  tensor,
  tidy,
  valueAndGrad,
  zeros,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { heldTensors } from "../../setup/heldTensors.ts";
import { repetitions } from "../../setup/repetitions.ts";

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    test("tidy frees what is made in it, except its result and what is kept", () => {
      const before = { live: heldTensors(), bytes: backend.memory().bytes };
      let kept = ones([1], { backend });
      const [a, { b }] = tidy(() => {
        const x = ones([4], { backend }).contiguous();
        kept.dispose();
        kept = keep(x.add(1));
        return [x.add(2), { b: tidy(() => x.mul(3).add(1)) }] as const;
      });
      expect([a.disposed, b.disposed, kept.disposed]).toEqual([false, false, false]);
      expect(liveTensors()).toBe(before.live + 3);
      for (const t of [a, b, kept]) t.dispose();
      expect({ live: liveTensors(), bytes: backend.memory().bytes }).toEqual(before);
    });

    test("tidy frees everything when its function throws, and refuses async ones", () => {
      const before = heldTensors();
      expect(() =>
        tidy(() => {
          ones([4], { backend }).add(1);
          throw new Error("on purpose");
        }),
      ).toThrow("on purpose");
      expect(() => tidy(async () => ones([4], { backend }))).toThrow("tidy: the function is async");
      expect(liveTensors()).toBe(before);
    });

    test("tensors and bytes are the same after 10 training steps and after many", async () => {
      const w = tensor(
        [
          [0.1, -0.2],
          [0.3, 0.4],
        ],
        { backend },
      );
      const x = tensor(
        [
          [1, 2],
          [3, 4],
          [5, 6],
        ],
        { backend },
      );
      const step = () =>
        tidy(() => {
          const { value, grads } = valueAndGrad(() => x.mul(w.slice(0)).tanh().sum(-1).square().mean(), [w]);
          w.assign(w.sub(grads[0].mul(0.01)));
          return value.dispose();
        });
      const counts = () => ({ live: liveTensors(), ...backend.memory() });
      for (let k = 0; k < 10; k++) step();
      const after10 = counts();
      for (let k = 10; k < repetitions("training steps"); k++) step();
      expect(counts()).toEqual(after10);
      expect(Number.isFinite((await w.data())[0])).toBe(true);
    });

    test("what nobody refers to any more is collected", async () => {
      setFlagsFromString("--expose-gc");
      const collect = runInNewContext("gc") as () => void;
      const before = backend.memory().buffers;
      (() => {
        for (let k = 0; k < 100; k++) ones([16], { backend }).contiguous();
      })();
      for (let turn = 0; turn < 20 && backend.memory().buffers > before; turn++) {
        collect();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(backend.memory().buffers).toBeLessThanOrEqual(before);
    });

    test("an op that the budget does not hold leaves nothing behind", async () => {
      const small = await open({ budget: 2.5 * 2 ** 20 });
      const x = tensor(new Float32Array(2 ** 18).fill(1), { backend: small, shape: [2 ** 9, 2 ** 9] });
      const before = small.memory();
      // A copy of the view fits in beside x, but not the result.
      for (let k = 0; k < 3; k++) expect(() => tidy(() => x.transpose().softmax())).toThrow(OutOfMemoryError);
      expect(() => tidy(() => x.transpose().softmax())).toThrow("softmax: 1048576 bytes");
      expect(small.memory()).toMatchObject({ buffers: before.buffers, bytes: before.bytes });
      expect(await x.sum().item()).toBe(2 ** 18);
      small.dispose();
    });

    test("rows of a tensor are read where they lie, unless a GPU cannot bind them there", async () => {
      const own = await open({});
      const x = full([1001, 100], 0.5, { backend: own }).contiguous();
      const before = own.memory().bytes;
      // 400,000 bytes, from byte 400 on.
      const y = x.slice([1]).softmax();
      const taken = own.memory().peakBytes - before;
      if (own.name.startsWith("webgpu")) expect(taken).toBeGreaterThanOrEqual(800_000);
      else expect(taken).toBeLessThan(401_000);
      expect((await y.data()).every((v) => Math.abs(v - 0.01) < 1e-8)).toBe(true);
      own.dispose();
    });

    test("what the budget does not hold is an OutOfMemoryError, after which work goes on", async () => {
      const small = await open({ budget: 2 ** 20 });
      const before = small.memory().bytes;
      const zero = zeros([1], { backend: small });
      const zerosOf = (size: number) => tidy(() => zero.expand([size]).contiguous());
      const half = zerosOf(2 ** 16);
      expect(() => zerosOf(2 ** 18)).toThrow(OutOfMemoryError);
      expect(() => zerosOf(2 ** 18)).toThrow(/copy: 1048576 bytes asked for with \d+ of 1048576 in use/);
      const more = tidy(() => half.add(1));
      expect((await more.data())[2 ** 16 - 1]).toBe(1);
      for (const one of [half, more]) one.dispose();
      // What is free in pieces, or kept for reuse, gives way.
      const whole = zerosOf(2 ** 17 + 2 ** 15);
      expect((await whole.data()).every((v) => v === 0)).toBe(true);
      whole.dispose();
      expect(small.memory().bytes - before).toBeLessThan(2 ** 19 + 64);
      small.dispose();
    });
  });
}
