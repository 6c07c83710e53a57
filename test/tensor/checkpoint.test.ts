// checkpoint: gradients of recomputed functions have the bits of plain ones, to any order, and memory is that of one block.
import {
  type Backend,
  capture,
  checkpoint,
  concat,
  cpu,
  dropout,
  explain,
  grad,
  jvp,
  keep,
  liveTensors,
  ones,
  type RandomStream,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  torchStream,
  valueAndGrad,
  vjp,
  zeros,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";
import { heldTensors } from "../setup/heldTensors.ts";

const float64 = cpu({ precision: "float64" });
const numbers = async (tensors: Iterable<Tensor>): Promise<number[]> =>
  (await Promise.all([...tensors].map(async (t) => [...(await t.data())]))).flat();

type Wrap = <Args extends readonly unknown[], Result>(f: (...args: Args) => Result) => (...args: Args) => Result;
const plain: Wrap = (f) => f;
/** Every second block inside of a checkpointed pair. */
const nested: Wrap = (f) => checkpoint(checkpoint(f));
const WRAPS: [string, Wrap][] = [
  ["checkpoint", checkpoint],
  ["a checkpoint in a checkpoint", nested],
];

/** Blocks that use their input twice and share weights, so that the order of sums shows in the bits. */
function network(backend: Backend, wrap: Wrap, rng?: RandomStream) {
  const draws = randomStream(1);
  const draw = (...shape: number[]) => draws.normal(shape, { backend });
  const [w1, w2, shared, x, y] = [draw(6, 6), draw(6, 6), draw(6), draw(4, 6), draw(4, 6)];
  const block = (x: Tensor, w: Tensor) => {
    const hidden = x.mul(shared).matmul(w).silu().mul(x);
    return x.add(rng ? dropout(hidden, 0.3, rng) : hidden).mul(shared);
  };
  const pair = wrap((a: Tensor, b: Tensor) => ({ left: block(a, w1).mul(b), right: [block(b, w2), a] }));
  const loss = () => {
    const { left, right } = tidy(() => {
      const embedded = x.mul(0.3); // freed before the backward pass
      return pair(embedded, y.mul(0.2));
    });
    const middle = wrap((x: Tensor) => block(x, w1).mul(right[0]).add(right[1]))(left);
    return concat([middle, left, x], 1).square().mean();
  };
  return { loss, xs: [w1, w2, shared, x, y] };
}

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend?.dispose());

    const bits = async (wrap: Wrap, streams: () => RandomStream | undefined, order: number) => {
      const rng = streams();
      const { loss, xs } = network(backend, wrap, rng);
      const derive = (order: number): Tensor =>
        order === 0
          ? loss()
          : grad(() => derive(order - 1), xs).reduce(
              (sum, g) => sum.add(g.mul(1.5).square().sum()),
              zeros([], { backend }),
            );
      const found =
        order === 1 ? [valueAndGrad(loss, xs)].flatMap(({ value, grads }) => [value, ...grads]) : [derive(order)];
      return { numbers: await numbers(found), state: rng?.state() };
    };

    for (const [what, wrap] of WRAPS) {
      test(`${what}: value and gradients have the same bits`, async () => {
        const wanted = await bits(plain, () => undefined, 1);
        expect(new Set(wanted.numbers).size).toBeGreaterThan(50);
        expect(await bits(wrap, () => undefined, 1)).toEqual(wanted);
      });

      test(`${what}: so have derivatives of gradients`, async () => {
        for (const order of [2, 3]) {
          expect(await bits(wrap, () => undefined, order)).toEqual(await bits(plain, () => undefined, order));
        }
      });

      test.each([
        ["a stream", () => randomStream(7)],
        ["PyTorch's stream", () => torchStream(7)],
      ])(`${what}: dropout's masks of %s are drawn again, and the stream goes on where it was`, async (_, streams) => {
        for (const order of [1, 2]) {
          const wanted = await bits(plain, streams, order);
          expect(wanted.numbers).not.toEqual((await bits(plain, () => undefined, order)).numbers);
          expect(await bits(wrap, streams, order)).toEqual(wanted);
        }
      });
    }

    test("jvp goes through it, and is differentiated", async () => {
      const along = (wrap: Wrap) => {
        const { loss, xs } = network(backend, wrap);
        const vs = xs.map((x) => x.sin());
        const inner = () => jvp(() => loss(), xs, vs);
        const { value, tangent } = inner();
        const outer = jvp(() => inner().tangent, xs, vs);
        const slope = grad(() => inner().tangent, xs);
        return numbers([value, tangent, outer.value, outer.tangent, ...slope]);
      };
      expect(await along(checkpoint)).toEqual(await along(plain));
    });
  });
}

test("the n-th derivative of a checkpointed x⁴ is what calculus says", async () => {
  const orders: ((x: Tensor) => Tensor)[] = [checkpoint((x) => x.square().square())];
  for (let n = 1; n <= 5; n++) orders.push(checkpoint((x) => grad(orders[n - 1], [x])[0]));
  const values = await Promise.all(orders.map((f) => f(tensor(1.5, { backend: float64 })).item()));
  for (const [n, wanted] of [1.5 ** 4, 4 * 1.5 ** 3, 12 * 1.5 ** 2, 24 * 1.5, 24, 0].entries()) {
    expect(values[n]).toBeCloseTo(wanted, 10);
  }
});

test("what it closes over is what it was: parameters assigned to and constants freed in between", async () => {
  const run = (wrap: Wrap) => {
    const [w, x] = [tensor([2, 3], { backend: float64 }), tensor([0.5, 7], { backend: float64 })];
    const mask = tensor([1, 0.25], { backend: float64 });
    const { pullback } = vjp((x) => wrap((x: Tensor) => x.mul(w.detach()).exp().mul(mask).mul(x))(x), [x]);
    w.assign(zeros([2], { backend: float64 }));
    mask.dispose();
    const g = ones([2], { backend: float64 });
    const found = [...pullback(g), ...pullback(g.mul(2))];
    expect(mask.disposed).toBe(true);
    return numbers([...found, w]);
  };
  expect(await run(checkpoint)).toEqual(await run(plain));
});

test("a pullback called while something is recorded, and afterwards, gives the same", async () => {
  const x = tensor([0.5, -1], { backend: float64 });
  const run = async (wrap: Wrap) => {
    const { pullback } = vjp((x) => wrap((x: Tensor) => x.exp().mul(x))(x), [x]);
    const g = tensor([2, 3], { backend: float64 });
    const twice = grad((g) => pullback(g)[0].square().sum(), [g]);
    const later = pullback(g);
    const again = grad((x) => pullback(g)[0].mul(x).sum(), [x]);
    return numbers([...twice, ...later, ...again]);
  };
  expect(await run(checkpoint)).toEqual(await run(plain));
});

test("what depends on nothing, or is handed through, stays what it is", async () => {
  const [x, c] = [ones([2], { backend: float64 }), tensor([3, 4], { backend: float64 })];
  const both = checkpoint((x: Tensor, c: Tensor) => ({
    same: x,
    constant: c.exp(),
    twice: x.mul(2),
    none: null,
    n: 5,
  }));
  const { value, grads, reached } = valueAndGrad(() => {
    const { same, constant, twice, none, n } = both(x, c);
    expect([same === x, none, n]).toEqual([true, null, 5]);
    return same.mul(constant).add(twice.square()).sum();
  }, [x, c.mul(1)]);
  expect(await value.item()).toBeCloseTo(Math.exp(3) + Math.exp(4) + 8, 10);
  expect(reached).toEqual([true, false]);
  expect(await grads[0].array()).toEqual([Math.exp(3) + 8, Math.exp(4) + 8]);
  expect(await checkpoint((x: Tensor) => x.exp())(c).array()).toEqual([3, 4].map(Math.exp)); // nothing is recorded
});

test("a tensor that f kept has no derivative outside, unless it is in the result: the walk says so", async () => {
  const x = tensor([0.5, -1], { backend: float64 });
  for (const wrap of [checkpoint, nested] as Wrap[]) {
    const through = (isInResult: boolean, after: (kept: Tensor) => Tensor) =>
      grad(
        (x) => {
          let kept = x;
          const f = wrap((x: Tensor) => {
            kept = keep(x.exp());
            return isInResult ? [kept.mul(x), kept] : [kept.mul(x)];
          });
          const [y] = f(x);
          return y.mul(after(kept)).sum();
        },
        [x],
      );
    const [wanted] = grad((x) => x.exp().mul(x).mul(x.exp()).sum(), [x]);
    expect(await numbers(through(true, (kept) => kept))).toEqual(await numbers([wanted]));
    expect(() => through(false, (kept) => kept)).toThrow(
      "checkpoint: f kept Tensor(float32 [2] on cpu: float64), which is not in its result, want it there, or detached",
    );
    const [detached] = grad((x) => x.exp().mul(x).mul(x.exp().detach()).sum(), [x]);
    expect(await numbers(through(false, (kept) => kept.detach()))).toEqual(await numbers([detached]));
  }
});

describe("refused is", () => {
  const x = ones([2], { backend: float64 });
  const slope = (f: (x: Tensor) => unknown) => () => grad((x) => (checkpoint(f)(x) as Tensor).sum(), [x]);

  test("what is no function", () => {
    expect(() => checkpoint(3 as unknown as () => Tensor)).toThrow("checkpoint: f is 3, want a function");
  });

  test("an async function", () => {
    expect(slope(async (x) => x)).toThrow("checkpoint: f is async, want one that returns its tensors");
  });

  test("one that changes or frees what it did not make", () => {
    const y = ones([2], { backend: float64 });
    expect(
      slope((x) => {
        y.assign(zeros([2], { backend: float64 }));
        return x.mul(y);
      }),
    ).toThrow(
      "assign: changes Tensor(float32 [2] on cpu: float64) inside a checkpointed function, which runs again, want it outside",
    );
    expect(
      slope((x) => {
        const z = x.mul(y);
        y.dispose();
        return z;
      }),
    ).toThrow(
      "checkpoint: f disposed of Tensor(float32 [2] on cpu: float64), which it did not make, want it left to the caller",
    );
  });

  test("one that does other work when it runs again", () => {
    let calls = 0;
    expect(slope((x) => (calls++ === 0 ? x.exp() : x.exp().slice([0, 1])))).toThrow(
      "checkpoint: f gave float32 [1] when it ran again, want float32 [2] as at first",
    );
    calls = 0;
    expect(slope((x) => (calls++ === 0 ? x.exp() : x.exp().exp()))).toThrow(
      "checkpoint: f ran other ops when it ran again, want the same ops as at first",
    );
  });

  test("and leaves nothing behind, nor does a gradient", () => {
    const before = { live: heldTensors(), ...float64.memory() };
    let calls = 0;
    expect(slope((x) => (calls++ === 0 ? x.exp() : x.exp().slice([0, 1])))).toThrow("as at first");
    expect(slope((x) => x.exp().add(ones([3], { backend: float64 })))).toThrow();
    for (const wrap of [checkpoint, nested] as Wrap[]) {
      const f = wrap((x: Tensor) => x.exp().mul(x.sin()));
      tidy(() => void grad((x) => f(f(x)).sum(), [x]));
      tidy(
        () =>
          void grad(
            (x) =>
              grad((y) => f(f(y)).sum(), [x])[0]
                .mul(x)
                .sum(),
            [x],
          ),
      );
      tidy(() => {
        const { pullback } = vjp((x) => f(f(x)), [x]);
        for (let k = 0; k < 2; k++) pullback(ones([2], { backend: float64 }));
        grad((g) => pullback(g)[0].sum(), [ones([2], { backend: float64 })]);
      });
      tidy(() => void jvp((x) => f(f(x)), [x], [x]));
    }
    expect({ live: liveTensors(), ...float64.memory(), peakBytes: before.peakBytes }).toEqual(before);
  });
});

test("a chain of n blocks peaks with n inputs and one block's intermediates", () => {
  const peak = (wrap: Wrap, blocks: number) => {
    const backend = cpu();
    const x = ones([1000], { backend });
    const block = wrap((x: Tensor) => [1, 2, 3, 4, 5, 6, 7, 8].reduce((y) => y.sin(), x));
    grad(
      () =>
        tidy(() =>
          Array.from({ length: blocks })
            .reduce<Tensor>((y) => block(y), x)
            .sum(),
        ),
      [x],
    );
    return backend.memory().peakBytes / 4000;
  };
  expect(peak(plain, 10)).toBeGreaterThan(80);
  expect(peak(checkpoint, 10)).toBeLessThan(10 + 8 + 6);
  expect(peak(checkpoint, 20) - peak(checkpoint, 10)).toBe(10);
});

test.skipIf(openers[2].skip)("captured steps with it are replayed, with the bits of plain ones", async () => {
  const run = async (wrap: Wrap) => {
    const backend = await openers[2].open();
    const rng = randomStream(3);
    const { loss, xs } = network(backend, wrap, rng);
    const step = capture(() => {
      const { value, grads } = valueAndGrad(loss, xs);
      for (const [k, x] of xs.entries()) x.assign(x.sub(grads[k].mul(0.1)));
      return value;
    });
    const values: number[] = [];
    const told: boolean[] = [];
    for (let k = 0; k < 5; k++) {
      const steps = await explain(async () => values.push(await step().item()));
      told.push(...steps.map(({ isReplayed }) => isReplayed));
    }
    const found = await numbers(xs);
    await backend.dispose();
    return { values, found, told };
  };
  const wanted = await run(plain);
  expect(wanted.told.slice(-2)).toEqual([true, true]);
  expect(await run(checkpoint)).toEqual(wanted);
});
