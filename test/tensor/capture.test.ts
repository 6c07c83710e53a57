// Captured steps: the same bits as plain ones, values that change from step to step, what is refused, and what is freed.
import {
  type Backend,
  type Captured,
  capture,
  cpu,
  DeviceLostError,
  grad,
  keep,
  liveTensors,
  OutOfMemoryError,
  perStep,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  type WebgpuBackend,
  webgpu,
  weightedSum,
  zeros,
} from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { planMemory } from "../../packages/tensor/src/backends/webgpu/replay/plan.ts";
import { openers } from "../setup/backends.ts";
import { gpuAvailable } from "../setup/gpu.ts";
import { heldTensors } from "../setup/heldTensors.ts";

for (const { name, open, skip } of openers) {
  describe.skipIf(skip)(`on ${name}`, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await open();
    });
    afterAll(() => backend.dispose());

    const isReplayed = name === "webgpu";

    test("a function of tensors gives the same bits as without, for new arguments every time", async () => {
      const f = (x: Tensor, y: Tensor) => ({ sum: x.add(y), parts: [x.mul(y).tanh().sum(), x.transpose()] });
      const step = capture(f);
      const rng = randomStream(1);
      for (let k = 0; k < 6; k++) {
        const [x, y] = [rng.normal([3, 5], { backend }), rng.normal([3, 5], { backend })];
        const [found, wanted] = [step(x, y), f(x, y)];
        expect(found.parts[1].shape).toEqual([5, 3]);
        expect(await found.sum.data()).toEqual(await wanted.sum.data());
        for (const i of [0, 1]) expect(await found.parts[i].array()).toEqual(await wanted.parts[i].array());
      }
      expect(step.isReplaying).toBe(isReplayed);
      step.dispose();
    });

    test("results of earlier steps keep their values", async () => {
      const step = capture((x: Tensor) => x.square().add(1));
      const results = Array.from({ length: 7 }, (_, k) => step(tensor([k, 2], { backend })));
      for (const [k, result] of results.entries()) expect(await result.array()).toEqual([k * k + 1, 5]);
      step.dispose();
    });

    test("a tensor that the result has twice is one tensor every time", async () => {
      const step = capture((x: Tensor) => {
        const y = x.add(1);
        return { first: y, again: [y] };
      });
      for (let k = 0; k < 6; k++) {
        const { first, again } = step(tensor([k], { backend }));
        expect(again[0]).toBe(first);
        expect(await first.item()).toBe(k + 1);
      }
      step.dispose();
    });

    test("what is assigned goes on from step to step, in and outside of the captured function", async () => {
      const w = tensor([1, 2], { backend });
      const v = tensor([0, 0], { backend });
      const step = capture(() => {
        v.assign(v.mul(0.5).add(w));
        w.assign(w.add(v));
      });
      let [a, b] = [1, 0];
      for (let k = 0; k < 12; k++) {
        step();
        b = Math.fround(0.5 * b + a);
        a = Math.fround(a + b);
        if (k === 9) {
          w.assign(tensor([3, 4], { backend })); // as loading weights does
          a = 3;
        }
        expect((await w.data())[0]).toBe(a);
        expect((await v.data())[0]).toBe(b);
      }
      step.dispose();
    });

    test("draws, arrays of numbers and values of each step are those of the step", async () => {
      const make = () => {
        const rng = randomStream(5);
        let count = 0;
        return (x: Tensor, factors: readonly (number | null)[]) => {
          const shared = perStep(() => [++count, rng.host.normal([1])[0]]);
          const noise = rng.normal(x.shape, { backend });
          const scale = tensor(() => [Number(factors[0]) * shared[0] + shared[1], factors.length], { backend });
          return x
            .mul(scale)
            .add(noise)
            .add(rng.integers(0, 100, [2], { backend }).cast("float32"));
        };
      };
      const [plain, step] = [make(), capture(make())];
      const x = tensor([2, 3], { backend });
      for (let k = 0; k < 9; k++) {
        const factors = [k * k, null];
        expect(await step(x, factors).data()).toEqual(await plain(x, factors).data());
      }
      step.dispose();
    });

    test("a weighted sum, and its gradients, take the weights of each step", async () => {
      const make = () => {
        let count = 0;
        return (x: Tensor, y: Tensor) => {
          const at = perStep(() => ({ step: ++count }));
          const sum = (a: Tensor) => weightedSum([a.square(), y], () => [at.step, -0.5 * at.step]);
          const slope = (a: Tensor) => grad((b) => sum(b).mul(y).sum(), [a])[0];
          return [sum(x), slope(x), grad((a) => slope(a).mul(x).sum(), [x])[0]];
        };
      };
      const [plain, step] = [make(), capture(make())];
      const [x, y] = [tensor([1, 2, 3], { backend }), tensor([4, 5, 6], { backend })];
      for (let k = 1; k < 9; k++) {
        const [found, wanted] = [step(x, y), plain(x, y)];
        for (const i of [0, 1, 2]) expect(await found[i].data()).toEqual(await wanted[i].data());
        expect(await found[1].data()).toEqual(Float32Array.of(8 * k, 20 * k, 36 * k)); // 2 k x y
      }
      step.dispose();
    });

    test("verify takes a step, and finds its replay the same", async () => {
      const make = () => {
        const rng = randomStream(2);
        const w = tensor([1, 2], { backend });
        return (x: Tensor) => {
          w.assign(w.add(rng.normal([2], { backend }).mul(x)));
          return w.exp();
        };
      };
      const [plain, step] = [make(), capture(make())];
      for (let k = 0; k < 6; k++) {
        const x = tensor([k, 1], { backend });
        const found = k % 2 ? step(x) : await step.verify(x);
        expect(await found.data()).toEqual(await plain(x).data());
      }
      step.dispose();
    });

    test("verify finds no difference where others go on with the state meanwhile", async () => {
      const states = [1, 2, 3].map((k) => tensor([k, k], { backend }));
      const step = capture((x: Tensor) => {
        for (const w of states) w.assign(w.mul(x));
        return states[0].add(1);
      });
      const x = tensor([2, 3], { backend });
      for (let k = 0; k < 4; k++) step(x);
      const verified = step.verify(x);
      for (const w of states) w.assign(w.mul(7));
      expect(await (await verified).data()).toEqual(Float32Array.of(33, 244));
      expect(await states[2].data()).toEqual(Float32Array.of(3 * 32 * 7, 3 * 243 * 7));
      step.dispose();
    });

    test("a step that throws on the host gives back what it took, and later ones go on", async () => {
      const f = (x: Tensor, given: readonly (number | null)[]) => {
        const checked = perStep(() => {
          if (given.includes(null)) throw new Error("no number");
          return [Number(given[0])];
        });
        return x.mul(tensor(() => checked, { backend }));
      };
      const step = capture(f);
      const x = tensor([1, 2], { backend });
      for (let k = 0; k < 9; k++) {
        const before = heldTensors();
        if (k % 2) expect(() => step(x, [null])).toThrow("no number");
        else tidy(() => void step(x, [k]));
        // What is the capture's own was made in its first calls.
        if (k > 3) expect(liveTensors()).toBe(before);
      }
      expect(await step(x, [3]).data()).toEqual(Float32Array.of(3, 6));
      step.dispose();
    });

    test("work on a second backend is refused", () => {
      const other = cpu();
      const y = tensor([1, 2], { backend: other });
      const step = capture((x: Tensor) => [x.add(1), y.add(1)]);
      expect(() => step(tensor([1], { backend }))).toThrow(`capture: works on ${backend.name} and on ${other.name}`);
      step.dispose();
    });

    test("an argument cannot be assigned to", () => {
      const step = capture((x: Tensor) => x.assign(x.add(1)));
      const x = tensor([1], { backend });
      expect(() => step(x)).toThrow("assign: to an argument of a captured function");
      step.dispose();
    });

    test("what would stay as it was at first is refused, by name", () => {
      const x = tensor([1, 2], { backend });
      const rng = randomStream(1);
      const refusing = (f: (x: Tensor, numbers: readonly (number | null)[]) => unknown, message: string) => {
        const before = heldTensors();
        const step = capture((a: Tensor, numbers: readonly (number | null)[]) => f(a, numbers) as Tensor);
        expect(() => step(x, [7])).toThrow(message);
        step.dispose();
        expect(liveTensors()).toBe(before);
      };
      refusing((a) => a.mul(tensor([1, 2], { backend })), "capture: tensor of given values in a captured function");
      refusing(() => x.mul(rng.next()), "capture: a draw on the host in a captured function");
      refusing(() => x.mul(rng.host.normal([1])[0]), "want it in perStep, or a tensor drawn");
      refusing((a, [n]) => a.mul(Number(n)), "capture: 0 of a value of each step is read");
      refusing((a) => keep(a.add(1)), "capture: keeping a tensor");
      refusing((a) => x.dispose() ?? a, "capture: disposing Tensor(float32 [2]");
      refusing(() => 3, "capture: its result is a number, want tensors alone");
      refusing(
        (a) => a.mul(tensor(() => [rng.next(), 1], { backend })),
        "capture: a draw on the host in a captured function",
      );
      expect(x.disposed).toBe(false);
    });

    test("a tensor cannot be read inside", async () => {
      const reads: Promise<unknown>[] = [];
      const step = capture((a: Tensor) => {
        reads.push(a.item());
        return a.add(1);
      });
      step(tensor([1], { backend }));
      await expect(reads[0]).rejects.toThrow("capture: reading a tensor in a captured function");
      step.dispose();
    });

    test("other shapes, types, backends and numbers of arguments are refused", () => {
      const other = cpu();
      const step = capture((x: Tensor, n: readonly number[]) => x.mul(tensor(() => n[0], { backend: x.backend })));
      step(zeros([2], { backend }), [1]);
      expect(() => step(zeros([3], { backend }), [1])).toThrow(
        /argument 0 is Tensor\(float32 \[3\] .* was Tensor\(float32 \[2\]/,
      );
      expect(() => step(zeros([2], { backend: other }), [1])).toThrow(`on ${other.name}`);
      expect(() => step(zeros([2], { backend }), [1, 2])).toThrow(
        "argument 1 is an array of 2 numbers, and was an array of 1",
      );
      expect(() => step(zeros([2], { backend, dtype: "int32" }), [1])).toThrow("int32 [2]");
      step.dispose();
      expect(() => step(zeros([2], { backend }), [1])).toThrow("capture: this captured function is disposed");
    });

    test("it is refused inside of a function that is differentiated, and part of an outer capture", async () => {
      const inner = capture((x: Tensor) => x.square());
      const x = tensor([3], { backend });
      expect(() => grad((a) => inner(a).sum(), [x])).toThrow(
        "capture: called inside a function that is differentiated",
      );
      const outer = capture((a: Tensor) => grad((b) => b.square().sum(), [inner(a)])[0]);
      for (let k = 0; k < 5; k++) expect(await outer(tensor([k], { backend })).array()).toEqual([2 * k * k]);
      for (const step of [inner, outer]) step.dispose();
    });

    test("tidy frees its results, and dispose all of its buffers", async () => {
      const before = { live: heldTensors(), ...backend.memory() };
      const x = tidy(() => zeros([64, 64], { backend }).contiguous());
      const step = capture((a: Tensor) => a.add(1).matmul(a).exp().sum());
      for (let k = 0; k < 6; k++) tidy(() => void step(x));
      step.dispose();
      x.dispose();
      const after = { live: liveTensors(), ...backend.memory() };
      expect([after.live, after.bytes, after.buffers]).toEqual([before.live, before.bytes, before.buffers]);
    });
  });
}

describe.skipIf(!gpuAvailable)("on webgpu", () => {
  let backend: WebgpuBackend;
  beforeAll(async () => {
    backend = await webgpu();
  });
  afterAll(() => backend.dispose());

  /** Calls a captured function until it throws; gives the message and how many calls there were. */
  const untilThrown = (step: Captured<[], unknown>): [string, number] => {
    for (let calls = 1; ; calls++) {
      try {
        step();
      } catch (error) {
        return [`${error}`, calls];
      }
      if (calls === 40) return ["nothing", calls];
    }
  };

  test("a number that changes from step to step is noticed, though float32 does not tell it apart", () => {
    const w = tensor([1, 2], { backend });
    let steps = 0;
    const step = capture(() => w.assign(w.mul(1 + 1e-12 * steps++)));
    expect(untilThrown(step)).toEqual([
      "Error: capture: what a replay would repeat is not the same at every step: kernel 0, of affine, gets s0 = 1.000000000002, and got 1.000000000001 before (want such numbers in perStep, or as tensors)",
      3, // the first, without arguments that tell the backend, is not recorded
    ]);
    step.dispose();
  });

  test("a number, and an op, that change later are noticed at the next check", () => {
    const w = tensor([1, 2], { backend });
    let decay = 0.5;
    const step = capture(() => w.assign(w.mul(decay)));
    for (let k = 0; k < 10; k++) step();
    decay = 0.25;
    expect(untilThrown(step)).toEqual([expect.stringContaining("s0 = 0.25, and got 0.5 before"), 6]); // call 16
    let isLate = false;
    const other = capture(() => w.assign(isLate ? w.sin() : w.cos()));
    for (let k = 0; k < 4; k++) other();
    isLate = true;
    expect(untilThrown(other)).toEqual([expect.stringContaining("op 0 is sin, and was cos"), 4]); // call 8
    for (const each of [step, other]) each.dispose();
  });

  test("steps that go on to differ are an error", () => {
    const w = tensor([1, 2], { backend });
    let steps = 0;
    const step = capture(() => w.assign(steps++ % 2 ? w.sin() : w.cos()));
    expect(untilThrown(step)).toEqual([expect.stringContaining("op 0 is cos, and was sin"), 11]);
    step.dispose();
  });

  test("replays are one submission of one encoder, and take the buffers that lifetimes need", () => {
    const bytes = 2 ** 20;
    const x = tidy(() => zeros([bytes / 4], { backend }).contiguous());
    // Twenty ops one after the other need two buffers at a time.
    const step = capture((a: Tensor) =>
      Array.from({ length: 20 })
        .reduce<Tensor>((y) => y.sin(), a)
        .sum(),
    );
    for (let k = 0; k < 5; k++) tidy(() => void step(x));
    const [before, memory] = [backend.counters(), backend.memory()];
    tidy(() => void step(x));
    const after = backend.counters();
    expect(after).toMatchObject({ replays: before.replays + 1, uploads: before.uploads, buffers: before.buffers });
    expect(after.submits - before.submits).toBe(2); // the argument's copy, and the list
    step.dispose();
    const freed = memory.bytes - backend.memory().bytes;
    expect(freed).toBeGreaterThanOrEqual(3 * bytes); // two, and the argument
    expect(freed).toBeLessThan(3.1 * bytes);
    x.dispose();
  });

  test("replays of one backend share their buffers, which a step that runs as it is gets", async () => {
    const bytes = 2 ** 18;
    const chain = (f: (y: Tensor) => Tensor, count: number) => (a: Tensor) =>
      Array.from({ length: count })
        .reduce<Tensor>((y) => f(y), a)
        .sum();
    const functions = [chain((y) => y.sin(), 20), chain((y) => y.cos().add(y), 9)];
    const x = tidy(() => randomStream(1).normal([bytes / 4], { backend }));
    const wanted = await Promise.all(functions.map((f) => tidy(() => f(x)).item()));
    const { bytes: before } = backend.memory();
    const steps = functions.map((f) => capture(f));
    const held: number[][] = functions.map(() => []);
    // Each runs as it is three times and then replays, both in turn; the eighth call of each runs as it is.
    for (let k = 1; k <= 10; k++) {
      for (const [i, step] of steps.entries()) {
        const found = step(x);
        expect(await found.item()).toBe(wanted[i]);
        found.dispose();
        held[i].push(backend.memory().bytes - before);
      }
    }
    const [argument, small] = [bytes, 2 ** 14]; // sums in parts, and scalars, are small
    const most = Math.max(...held.flat());
    expect(most).toBeGreaterThan(2 * argument + 3 * bytes);
    expect(most).toBeLessThan(2 * argument + 3 * bytes + small); // two buffers for one, three for the other: three in all
    expect(held[0][7]).toBeLessThan(2 * argument + small); // after a call that ran as it is, nothing
    steps[1].dispose();
    expect(await steps[0](x).item()).toBe(wanted[0]);
    steps[0].dispose();
    x.dispose();
    expect(backend.memory().bytes).toBeLessThanOrEqual(before);
  });

  test("what the budget does not hold is an OutOfMemoryError, and the next step goes on where the one before ended", async () => {
    const small = await webgpu({ budget: 2 ** 22 + 2 ** 14 });
    const size = 2 ** 18 - 64;
    const rng = randomStream(1);
    const w = tidy(() => zeros([size], { backend: small }).contiguous());
    const step = capture(() => w.assign(w.add(rng.normal([size], { backend: small }))));
    for (let k = 0; k < 3; k++) step();
    const filling = tidy(() => [1, 2, 3].map(() => zeros([size], { backend: small }).contiguous()));
    const state = rng.state();
    expect(() => step()).toThrow(OutOfMemoryError);
    expect(rng.state()).toEqual(state);
    for (const each of filling) each.dispose();
    step();
    expect(step.isReplaying).toBe(true);
    const twin = randomStream(1);
    const wanted = new Float32Array(size);
    for (let k = 0; k < 4; k++) for (const [i, z] of twin.host.normal([size]).entries()) wanted[i] += z;
    expect(await w.data()).toEqual(wanted);
    small.dispose();
  });

  test("after a loss the next step is a DeviceLostError, and draws nothing", async () => {
    const lost = await webgpu();
    const rng = randomStream(1);
    const w = tensor([1, 2], { backend: lost });
    const step = capture(() => w.assign(w.add(rng.normal([2], { backend: lost }))));
    for (let k = 0; k < 5; k++) step();
    const state = rng.state();
    lost.dispose();
    expect(() => step()).toThrow(DeviceLostError);
    expect(rng.state()).toEqual(state);
  });
});

test("planned buffers are never shared by lifetimes that overlap, and no fewer than are alive at once", () => {
  const rng = randomStream(4);
  for (let run = 0; run < 50; run++) {
    const drawn = [...rng.host.integers(0, 40, [3, 30])];
    const lifetimes = Array.from({ length: 30 }, (_, k) => {
      const [size, first, length] = drawn.slice(3 * k, 3 * k + 3);
      return { size: 256 * (size + 1), first, last: first + (length >> 2) };
    });
    const { sizes, places } = planMemory(lifetimes);
    for (const [k, { size, first, last }] of lifetimes.entries()) {
      expect(sizes[places[k]]).toBeGreaterThanOrEqual(size);
      for (const [j, other] of lifetimes.entries()) {
        if (j !== k && first <= other.last && other.first <= last) expect(places[j]).not.toBe(places[k]);
      }
    }
    const alive = Array.from({ length: 60 }, (_, at) =>
      lifetimes.filter(({ first, last }) => first <= at && at <= last).reduce((sum, { size }) => sum + size, 0),
    );
    const total = sizes.reduce((a, b) => a + b, 0);
    expect(total).toBeGreaterThanOrEqual(Math.max(...alive));
    expect(total).toBeLessThanOrEqual(lifetimes.reduce((sum, { size }) => sum + size, 0));
  }
});
