// What throws in the middle leaves nothing behind: gradients, pullbacks, captured functions and runs of samplers, on every backend.
import { cosine, ddim, discretePath, finalSample, sample } from "@pkg/diffusion";
import { mlp, parameters } from "@pkg/nn";
import {
  addNoise,
  allOrNothing,
  type Backend,
  capture,
  dropout,
  grad,
  jvp,
  liveTensors,
  onFailure,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  torchStream,
  vjp,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defineOp, float32, run } from "../../../packages/tensor/src/op.ts";
import { openers } from "../../setup/backends.ts";
import { collected, failFrom, stateOf } from "../../setup/failing.ts";

/** The identity, whose rule of differentiation throws. */
const broken = defineOp({
  name: "broken",
  infer: ([x]) => [float32(x.shape)],
  view: (layout) => layout,
  vjp: () => {
    throw new Error("on purpose, in a rule");
  },
  cases: [{ inputs: [[2]] }],
  tolerance: {},
});

/** A function whose gradient adds up cotangents, crosses composed ops and copies views. */
const winding = (x: Tensor, w: Tensor): Tensor => {
  const h = x.matmul(w).tanh();
  const attended = h.reshape([1, 4, 4]).attention(h.reshape([1, 4, 4]), h.reshape([1, 4, 4]));
  return attended.add(h).mul(h).softmax(0).add(w.transpose()).square().sum();
};

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    let x: Tensor;
    let w: Tensor;
    beforeAll(async () => {
      backend = await open();
      [x, w] = tidy(() => [3, 5].map((seed) => randomStream(seed).normal([4, 4], { backend })));
    });
    afterAll(() => backend?.dispose());

    const derivatives: Record<string, () => unknown> = {
      grad: () => grad(winding, [x, w]),
      "grad of grad": () => grad((a, b) => grad(winding, [a, b])[0].square().sum(), [x, w]),
      "vjp and its pullback": () =>
        tidy(() => {
          const { value, pullback } = vjp(winding, [x, w]);
          pullback(value);
          return pullback(value.mul(2));
        }),
      jvp: () => jvp(winding, [x, w], [w, x]),
    };
    test.each(Object.keys(derivatives))("%s fails at each of its allocations and leaks nothing", async (which) => {
      await collected();
      const before = await stateOf(backend, [x, w]);
      let n = 1;
      for (; failFrom(backend, n, () => tidy(() => void derivatives[which]())); n++) {
        expect(await stateOf(backend, [x, w]), `allocation ${n}`).toEqual(before);
      }
      expect(n).toBeGreaterThan(10);
      expect(await stateOf(backend, [x, w])).toEqual(before);
    });

    test("what throws in a rule of differentiation, or in the function, leaks nothing", async () => {
      await collected();
      const before = await stateOf(backend, [x, w]);
      const through = (a: Tensor, b: Tensor) => run(broken, [winding(a, b).add(winding(b, a))], undefined)[0];
      const failing: (() => unknown)[] = [
        () => grad(through, [x, w]),
        () => jvp(through, [x, w], [w, x]),
        () => tidy(() => vjp(through, [x, w]).pullback(tensor(1, { backend }))),
        () => grad((a) => winding(a, w).add(thrown("on purpose, in f")), [x]),
        () => grad((a) => grad((b) => winding(a, b).add(thrown("on purpose, in f")), [w])[0].sum(), [x]),
        () => vjp((a) => winding(a, w).add(thrown("on purpose, in f")), [x]),
        () => capture((a: Tensor) => winding(a, w).add(thrown("on purpose, in f")))(x),
      ];
      for (const f of failing) {
        expect(f).toThrow("on purpose");
        expect(await stateOf(backend, [x, w])).toEqual(before);
      }
    });

    test("a draw that fails leaves its stream where it stood", () => {
      const level = tensor([0.6, 0.8, 0.6, 0.8], { backend });
      for (const rng of [randomStream(1), torchStream(1)]) {
        const draws: (() => unknown)[] = [
          () => rng.normal([4], { backend }),
          () => rng.uniform([4], { backend }),
          () => rng.integers(0, 5, [4], { backend }),
          () => rng.rademacher([4], { backend }),
          () => rng.bernoulli(0.5, [4], { backend }),
          () => addNoise(x, level, level, rng),
          () => dropout(x, 0.5, rng),
        ];
        for (const draw of draws) {
          const before = rng.state();
          for (let n = 1; failFrom(backend, n, () => tidy(() => void draw())); n++) expect(rng.state()).toEqual(before);
          expect(rng.state()).not.toEqual(before);
        }
      }
      level.dispose();
    });

    test("a step of one's own takes back assignments, draws and counts when it throws, and keeps them when it does not", async () => {
      await collected();
      const [a, b] = [tensor([1, 2], { backend }), tensor([3, 4], { backend })];
      const rng = randomStream(0);
      let count = 0;
      const step = (isFailing: boolean) =>
        allOrNothing(() => {
          onFailure(() => void count--);
          count++;
          a.assign(a.add(rng.normal([2], { backend })));
          b.assign(a.detach());
          a.assign(a.mul(2));
          if (isFailing) thrown("on purpose");
        });
      const before = { tensors: await stateOf(backend, [a, b]), stream: rng.state() };
      expect(() => step(true)).toThrow("on purpose");
      expect({ tensors: await stateOf(backend, [a, b]), stream: rng.state() }).toEqual(before);
      expect(count).toBe(0);
      step(false);
      expect([count, liveTensors()]).toEqual([1, (before.tensors as { live: number }).live]);
      expect([...(await a.data())]).toEqual([...(await b.data())].map((v) => 2 * v));
      a.dispose();
      b.dispose();
    });

    test("a captured step that throws on the host, recorded or replayed, has done nothing", async () => {
      await collected();
      const rng = randomStream(2);
      const total = tensor([0, 0], { backend });
      let isFailing = false;
      const step = capture(() => {
        total.assign(total.add(rng.normal([2], { backend })));
        if (isFailing) thrown("on purpose");
      });
      for (let k = 0; k < 10; k++) {
        step();
        const before = { tensors: await stateOf(backend, [total]), stream: rng.state() };
        isFailing = true;
        expect(step).toThrow("on purpose");
        isFailing = false;
        const { tensors, stream } = { tensors: await stateOf(backend, [total]), stream: rng.state() };
        expect(stream).toEqual(before.stream);
        expect({ ...(tensors as object), buffers: 0, bytes: 0 }).toEqual({
          ...(before.tensors as object),
          buffers: 0,
          bytes: 0,
        });
      }
      const wanted = randomStream(2);
      const sums = [0, 0];
      for (let k = 0; k < 10; k++)
        for (const [i, v] of wanted.host.normal([2]).entries()) sums[i] = Math.fround(sums[i] + v);
      expect([...(await total.data())]).toEqual(sums);
      step.dispose();
      total.dispose();
    });

    test("a run of a sampler that fails at any allocation frees all it holds", async () => {
      await collected();
      const network = mlp({ sizes: [2, 4, 2], timeChannels: 2 }, { backend, rng: randomStream(0) });
      const run = (rng: ReturnType<typeof randomStream>) =>
        finalSample(sample(ddim(discretePath(cosine(50), { steps: 5 }), { eta: 1 }), network, [2, 2], rng));
      const wanted = await run(randomStream(9));
      const bits = [...(await wanted.data())];
      wanted.dispose();
      const before = await stateOf(backend, parameters(network));
      let n = 1;
      for (let isDone = false; !isDone; n += n < 40 ? 1 : 7) {
        const allocate = backend.allocate.bind(backend);
        let asked = 0;
        backend.allocate = (size, dtype, label) => {
          if (++asked >= n) throw new Error("on purpose");
          return allocate(size, dtype, label);
        };
        const result = await run(randomStream(9)).catch((error: Error) => error);
        backend.allocate = allocate;
        if (result instanceof Error) expect(result.message).toBe("on purpose");
        else {
          isDone = true;
          expect([...(await result.data())]).toEqual(bits);
          result.dispose();
        }
        expect(await stateOf(backend, parameters(network)), `allocation ${n}`).toEqual(before);
      }
      expect(n).toBeGreaterThan(20);
      for (const p of parameters(network)) p.dispose();
    });
  });
}

function thrown(message: string): never {
  throw new Error(message);
}
