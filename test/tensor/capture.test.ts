// Captured steps: the same bits as plain ones, what changes from step to step, what cannot be replayed, and what is freed.
import { adamW } from "@pkg/nn";
import {
  type Backend,
  capture,
  checkpoint,
  cpu,
  DeviceLostError,
  emaStep,
  explain,
  grad,
  keep,
  liveTensors,
  OutOfMemoryError,
  randomStream,
  region,
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
import { heldBy, heldTensors, stillHeld } from "../setup/heldTensors.ts";
import { plainly } from "../setup/plainly.ts";

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
          const shared = [++count, rng.host.normal([1])[0]];
          const noise = rng.normal(x.shape, { backend });
          const scale = tensor([Number(factors[0]) * shared[0] + shared[1], factors.length], { backend });
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
          const step = ++count;
          const sum = (a: Tensor) => weightedSum([a.square(), y], [step, -0.5 * step]);
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

    test("a step that throws on the host gives back what it took, and later ones go on", async () => {
      const w = tensor([1, 1], { backend });
      const step = capture((x: Tensor, given: number | null) => {
        w.assign(w.mul(2));
        const scaled = x.mul(tensor([1, 2], { backend }));
        if (given === null) throw new Error("no number");
        return scaled.mul(given);
      });
      const x = tensor([1, 2], { backend });
      for (let k = 0; k < 9; k++) {
        const before = heldTensors();
        if (k % 2) expect(() => step(x, null)).toThrow("no number");
        else tidy(() => void step(x, k));
        expect(liveTensors()).toBe(before);
      }
      expect(await step(x, 3).data()).toEqual(Float32Array.of(3, 12));
      expect(await w.data()).toEqual(Float32Array.of(64, 64)); // of six steps that did not fail
      step.dispose();
    });

    // What a program may do between and in steps without telling anybody.
    const CHANGES: Readonly<Record<string, (at: { k: number }, w: Tensor) => (x: Tensor) => Tensor>> = {
      "a number of an op": (at) => (x) => x.mul(1 + at.k),
      "a number by which an op does otherwise, which is another trace": (at) => (x) =>
        x
          .reshape([1, 2])
          .expand([2, 2])
          .clamp(-at.k, at.k)
          .sum(at.k % 2),
      "the op": (at) => (x) => (at.k % 3 === 0 ? x.sin() : x.cos()),
      "how many ops": (at) => (x) => {
        let y = x;
        for (let i = 0; i <= at.k % 3; i++) y = y.add(1);
        return y;
      },
      "which operands": (at) => (x) => {
        const [a, b] = [x.add(1), x.mul(2)];
        return at.k % 2 ? a.sub(b) : b.sub(a);
      },
      "the values of a tensor of the host": (at) => (x) => x.mul(tensor([at.k, 2], { backend })),
      "the part of a larger tensor": (at) => {
        const all = tensor([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], { backend });
        return (x) => x.mul(all.slice([at.k, at.k + 2])).add(all.slice([9 - at.k, 11 - at.k]));
      },
      "which tensor is closed over": (at) => {
        const several = [1, 2, 3].map((n) => tensor([n, -n], { backend }));
        return (x) => x.mul(several[at.k % 3]);
      },
      "a draw on the host": () => {
        const rng = randomStream(3);
        return (x) => x.mul(rng.next()).add(rng.normal([2], { backend }));
      },
      "the number of a draw": (at) => {
        const rng = randomStream(3);
        return (x) => x.add(rng.normal([2], { backend, std: 1 + at.k }));
      },
      "a number in a gradient": (at, w) => (x) => grad((v) => v.square().mul(x).sum().mul(at.k), [w])[0],
      "a number in a gradient, now and then": (at, w) => (x) =>
        grad(
          (v) =>
            v
              .square()
              .mul(x)
              .sum()
              .mul(at.k % 4 === 1 ? 2 : 3),
          [w],
        )[0],
      "what is differentiated": (at, w) => (x) => grad((v) => (at.k % 2 ? v.sin() : v.exp()).mul(x).sum(), [w])[0],
      "a tensor that is assigned to, and read again": (at, w) => (x) => {
        w.assign(w.add(x.mul(at.k)));
        return w.mul(2);
      },
      "a tensor that another shares": (at, w) => (x) => {
        const before = at.k % 2 ? w.detach() : x;
        w.assign(w.add(x));
        return w.add(before);
      },
      "a number of an overwrite, and the op after it": (at, w) => (x) => {
        w.assign(emaStep(w, x, { weight: (1 + at.k) / 16 }));
        const y = x.add(1);
        return [() => y.sin(), () => y.exp(), () => y.square(), () => y.tanh()][at.k % 4]();
      },
      "what the gradient flows through": (at, w) => (x) =>
        grad((v) => (at.k % 2 ? v : v.detach()).mul(v).mul(x.add(at.k)).sum(), [w])[0],
      "which of two tensors that share elements is differentiated": (at, w) => (x) => {
        const same = w.detach();
        return grad((v) => (at.k % 2 ? v : same).mul(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "the part of a larger tensor, and the op after it": (at) => {
        const all = tensor([0, 1, 2, 3, 4, 5, 6, 7], { backend });
        const starts = [0, 4, 2, 2, 0, 4, 4, 0, 2];
        return (x) => {
          const y = x.mul(all.slice([starts[at.k], starts[at.k] + 2]));
          return [() => y.sin(), () => y.exp(), () => y.cos()][[0, 1, 0, 2, 1, 0, 2, 2, 1][at.k]]();
        };
      },
      "which of two objects has the number of an overwrite, and the op after it": (at, w) => {
        const [a, b] = [{ weight: 0.5 }, { weight: 0.25 }];
        return (x) => {
          w.assign(emaStep(w, x, at.k % 2 ? a : b));
          const y = x.add(at.k);
          return [() => y.sin(), () => y.exp()][[0, 1, 1, 0, 0, 1, 1, 0, 0][at.k]]();
        };
      },
      "whether a tensor that is overwritten is shared, and the op after it": (at, w) => (x) =>
        tidy(() => {
          const other = at.k % 2 ? [w.detach()] : [];
          const average = emaStep(w, x, { weight: 0.5 });
          const y = x.add(other.length);
          return [() => y.sin(), () => y.exp()][[0, 1, 1, 0, 0, 1, 1, 0, 0][at.k]]().add(average);
        }),
      "where a part ends": (at) => (x) => {
        const isLong = [true, false, false, true, false, true, true, false, false][at.k];
        const what = () => ({ key: CHANGES, settings: isLong, inputs: [x] });
        const y = region(backend, what, () => (isLong ? x.sin().exp() : x.sin()));
        const z = isLong ? y : y.exp();
        return [() => z.cos(), () => z.tanh(), () => y.add(z).add(at.k)][at.k % 3]();
      },
      "the numbers of two overwrites, the second of a copy": (at, w) => (x) =>
        tidy(() => {
          w.assign(emaStep(w, x, { weight: 0.5 }));
          const before = w.detach();
          w.assign(emaStep(w, x, { weight: (1 + at.k) / 16 }));
          return before.add(at.k);
        }),
      "what a part depends on, and the op after it": (at) => (x) => {
        const factor = [2, 3, 2, 3, 2, 3, 2, 2, 3][at.k];
        const what = () => ({ key: CHANGES, settings: factor, inputs: [x] });
        const y = region(backend, what, () => x.mul(factor));
        return [() => y.sin(), () => y.cos()][[0, 1, 1, 0, 0, 1, 1, 0, 0][at.k]]();
      },
      "the elements of one of two tensors that shared them, which a part reads": (at, w) => {
        const shared = w.detach();
        return (x) => {
          const y = x.mul(w);
          const what = () => ({ key: CHANGES, same: [shared], inputs: [y] });
          const { sum, same } = region(backend, what, () => ({ sum: y.add(shared), same: shared.reshape([2, 1]) }));
          const result = sum.add(same.reshape([2]));
          if (at.k % 3 === 2) shared.assign(x.add(at.k));
          return result;
        };
      },
      "a number in a checkpointed function, now and then": (at, w) => {
        const f = checkpoint((v: Tensor) => v.square().mul(at.k % 4 === 1 ? 2 : 3));
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "the tensor of numbers that a checkpointed function makes, now and then": (at, w) => {
        const f = checkpoint((v: Tensor) => v.square().mul(tensor([at.k % 4 === 1 ? 2 : 3, 5], { backend })));
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "what a checkpointed function draws": (at, w) => {
        const rng = randomStream(3);
        const f = checkpoint((v: Tensor) => v.square().mul(rng.normal([2], { backend })));
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "which constant a checkpointed function reads": (at, w) => {
        const several = [1, 2, 3].map((n) => tensor([n, -n], { backend }));
        const f = checkpoint((v: Tensor) => v.square().mul(several[at.k % 3]));
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "the elements of the constant that a checkpointed function reads": (at, w) => {
        const constant = tensor([1, 2], { backend });
        const f = checkpoint((v: Tensor) => v.square().mul(constant));
        return (x) => {
          const [g] = grad((v) => f(v).mul(x).sum(), [w]);
          constant.assign(constant.add(x.mul(at.k)));
          return g;
        };
      },
      "what the gradient flows through in a checkpointed function": (at, w) => {
        const f = checkpoint((v: Tensor) => (at.k % 2 ? v : v.detach()).mul(v));
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "which of its values a checkpointed function returns": (at, w) => {
        const f = checkpoint((v: Tensor) => {
          const [a, b] = [v.sin(), v.exp()];
          return at.k % 2 ? [a, b] : [b, a];
        });
        return (x) =>
          grad(
            (v) => {
              const [a, b] = f(v);
              return a.mul(2).add(b).mul(x.add(at.k)).sum();
            },
            [w],
          )[0];
      },
      "what is differentiated inside a checkpointed function": (at, w) => {
        const f = checkpoint((v: Tensor) => grad((u) => (at.k % 2 ? u.mul(v) : u.square()).sin().sum(), [v])[0]);
        return (x) => grad((v) => f(v).mul(x.add(at.k)).sum(), [w])[0];
      },
      "the number of one object of attributes, twice in a step": (at, w) => {
        const attrs = { weight: 0 };
        return (x) => {
          attrs.weight = (1 + at.k) / 16;
          w.assign(emaStep(w, x, attrs));
          attrs.weight = 1 / (3 + at.k);
          w.assign(emaStep(w, x.neg(), attrs));
          attrs.weight = 0.75;
          return w.add(1);
        };
      },
      "which shape a list has": (at) => {
        const shape = [1, 2];
        return (x) => {
          shape.reverse();
          const y = x.reshape(shape).expand([2, 2]);
          shape.reverse();
          const z = x.reshape(shape).expand([2, 2]).mul(at.k);
          if (at.k % 3 === 0) shape.reverse();
          return y.add(z).sum(0);
        };
      },
      "the weights in one list": (at, w) => {
        const weights = [0, 1];
        return (x) => {
          weights[0] = at.k;
          const y = weightedSum([x, w], weights);
          weights[1] = 2 + at.k;
          return y.add(weightedSum([w, x], weights));
        };
      },
      "the numbers in one typed array": (at) => {
        const numbers = new Float32Array([1, 2]);
        return (x) => {
          numbers[0] = at.k;
          const y = x.mul(tensor(numbers, { backend }));
          numbers[0] = 9;
          return y.add(tensor(numbers, { backend }));
        };
      },
      "the settings of a part, in one object": (at) => {
        const settings = { factor: 0 };
        return (x) => {
          settings.factor = 1 + (at.k % 3);
          const what = () => ({ key: CHANGES, settings, inputs: [x] });
          return region(backend, what, () => x.mul(settings.factor)).add(at.k);
        };
      },
      "the shape of an argument": (at) => (x) => (at.k % 2 ? x : x.reshape([2, 1])).mul(2),
    };
    test.each(Object.keys(CHANGES))("nothing is replayed stale: %s", async (which) => {
      const values: number[][][] = [];
      for (const isPlain of [true, false]) {
        const at = { k: 0 };
        const w = tensor([0.5, -0.25], { backend });
        const f = CHANGES[which](at, w);
        const step = capture(f);
        const run = async () => {
          const found: number[][] = [];
          for (at.k = 0; at.k < 9; at.k++) {
            const x = tensor([1 + at.k, -2], { backend });
            const result = isPlain ? f(x) : step(x);
            found.push([...(await result.data()), ...(await w.data())]);
          }
          return found;
        };
        values.push(isPlain ? await plainly(backend, run) : await run());
        step.dispose();
      }
      expect(values[1]).toEqual(values[0]);
      if (!/which|shape/.test(which)) expect(new Set(values[0].map(String)).size).toBe(9);
    });

    test("tensors may be read, kept, and disposed inside", async () => {
      const reads: Promise<number>[] = [];
      const kept: Tensor[] = [];
      const step = capture((a: Tensor) => {
        const sum = a.add(1);
        reads.push(sum.sum().item());
        kept.push(keep(sum.mul(2)));
        a.dispose();
        return sum;
      });
      for (let k = 0; k < 6; k++)
        expect(await step(tensor([k, 1], { backend })).data()).toEqual(Float32Array.of(k + 1, 2));
      expect(await Promise.all(reads)).toEqual([3, 4, 5, 6, 7, 8]);
      expect(await kept[5].data()).toEqual(Float32Array.of(12, 4));
      expect(await kept[0].data()).toEqual(Float32Array.of(2, 4));
      expect(step.isReplaying).toBe(isReplayed);
      step.dispose();
    });

    test("a read in a step that fails rejects with its error", async () => {
      let read: Promise<unknown> = Promise.resolve();
      const step = capture((a: Tensor) => {
        read = a.add(1).data();
        throw new Error("on purpose");
      });
      expect(() => step(tensor([1], { backend }))).toThrow("on purpose");
      if (isReplayed) await expect(read).rejects.toThrow("on purpose");
      else expect(await read).toEqual(Float32Array.of(2));
      step.dispose();
    });

    test("parts of larger tensors are freed with the step", () => {
      const all = tensor([0, 1, 2, 3, 4, 5, 6, 7], { backend });
      const before = heldBy(backend);
      const step = capture((x: Tensor) => x.mul(all.slice([0, 2])));
      for (let k = 0; k < 5; k++) tidy(() => void step(tensor([1, 2], { backend })));
      step.dispose();
      expect(stillHeld(backend)).toEqual(before);
      all.dispose();
    });

    test("work on a second backend is done at once", async () => {
      const other = cpu();
      const y = tensor([1, 2], { backend: other });
      const step = capture((x: Tensor) => [x.add(1), y.mul(y)]);
      for (let k = 0; k < 4; k++) {
        const [a, b] = step(tensor([k], { backend }));
        expect([await a.item(), ...(await b.data())]).toEqual([k + 1, 1, 4]);
      }
      step.dispose();
    });

    test("a disposed one is refused, and so is an async function", async () => {
      const step = capture(async (x: Tensor) => x.add(1));
      expect(() => step(tensor([1], { backend }))).toThrow("tidy: the function is async");
      step.dispose();
      expect(() => step(tensor([1], { backend }))).toThrow("capture: this captured function is disposed");
    });

    test("in a function that is differentiated it runs as it is; in an outer capture it is a part of that", async () => {
      const inner = capture((x: Tensor) => x.square());
      const x = tensor([3], { backend });
      expect(await grad((a) => inner(a).sum(), [x])[0].array()).toEqual([6]);
      const outer = capture((a: Tensor) => grad((b) => b.square().sum(), [inner(a)])[0]);
      for (let k = 0; k < 5; k++) expect(await outer(tensor([k], { backend })).array()).toEqual([2 * k * k]);
      expect(outer.isReplaying).toBe(isReplayed);
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

  test("a failing step leaves nothing behind that a read in it holds, and what it kept is not to be used", async () => {
    const before = heldBy(backend);
    const w = tensor([1, 2], { backend });
    const kept: Tensor[] = [];
    const step = capture((isBad: boolean) => {
      w.assign(emaStep(w, w.mul(2), { weight: 0.5 }));
      if (!isBad) return w.add(kept[0]);
      w.data().catch(() => {});
      kept.push(keep(w.add(1)));
      throw new Error("on purpose");
    });
    expect(() => step(true)).toThrow("on purpose");
    expect(() => step(false)).toThrow("on purpose");
    await expect(kept[0].data()).rejects.toThrow("on purpose");
    expect(await w.data()).toEqual(Float32Array.of(1, 2));
    for (const one of [w, ...kept]) one.dispose();
    step.dispose();
    await backend.settled();
    expect(stillHeld(backend)).toEqual(before);
  });

  test("explain tells what was replayed, and which op stopped a replay", async () => {
    const w = tensor([1, 2], { backend });
    let isLate = false;
    const step = capture(function update(x: Tensor) {
      const y = x.mul(2);
      return isLate ? y.sin() : y.cos();
    });
    const told = await explain(async () => {
      for (let k = 0; k < 5; k++) tidy(() => void step(w));
      isLate = true;
      tidy(() => void step(w));
      grad((a) => step(a).sum(), [w]);
    });
    expect(told).toEqual([
      { name: "update", isReplayed: false, reason: "it is the first step", steps: 1 },
      { name: "update", isReplayed: true, reason: "", steps: 4 },
      { name: "update", isReplayed: false, reason: "op 1 is sin, and was cos before", steps: 1 },
      { name: "update", isReplayed: false, reason: "it is part of a function that is differentiated", steps: 1 },
    ]);
    step.dispose();
  });

  test("a checkpointed function that did the same is not run again for its gradient", async () => {
    let runs = 0;
    const w = tensor([1, 2], { backend });
    const inner = checkpoint((v: Tensor) => v.exp());
    const block = checkpoint((v: Tensor) => {
      runs++;
      return inner(v.mul(tensor([2, 3], { backend })).sin());
    });
    const step = capture((x: Tensor) => grad((v) => block(v).mul(x).sum(), [w])[0]);
    const counts: number[] = [];
    for (let k = 0; k < 4; k++) {
      const x = tensor([k, 1 - k], { backend });
      const found = await step(x).data();
      counts.push(runs);
      expect(found).toEqual(await grad((v) => block(v).mul(x).sum(), [w])[0].data());
      runs = 0;
    }
    expect(counts).toEqual([2, 1, 1, 1]);
    step.dispose();
  });

  test("steps that keep differing run plainly for a while", async () => {
    let n = 0;
    const step = capture((x: Tensor) => {
      let y = x;
      for (let k = 0; k < n; k++) y = y.add(1);
      return y;
    });
    const x = tensor([1], { backend });
    const told = await explain(async () => {
      for (n = 1; n < 30; n++) expect(await step(x).item()).toBe(1 + n);
    });
    expect(told.at(-1)).toMatchObject({ reason: "8 steps on end differed from all before", isReplayed: false });
    step.dispose();
  });

  test("steps that alternate are replayed both", async () => {
    const steps = [
      (x: Tensor) => x.sin().sum(),
      (x: Tensor) => x.cos().mul(2).sum(),
      (x: Tensor) => x.sin().square().sum(),
    ];
    let k = 0;
    const step = capture((x: Tensor) => steps[k % 3](x));
    const x = tensor([1, 2], { backend });
    for (; k < 12; k++) {
      const [found, wanted] = [step(x), steps[k % 3](x)];
      expect(await found.item()).toBe(await wanted.item());
      expect(step.isReplaying).toBe(k >= 3);
    }
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
    expect(after.submits - before.submits).toBe(1);
    expect(backend.memory().bytes).toBe(memory.bytes);
    step.dispose();
    x.dispose();
  });

  test("replays of one backend share their buffers, which the budget of others comes before", async () => {
    const bytes = 2 ** 18;
    const small = await webgpu({ budget: 7.5 * bytes });
    const chain = (f: (y: Tensor) => Tensor, count: number) => (a: Tensor) =>
      Array.from({ length: count })
        .reduce<Tensor>((y) => f(y), a)
        .sum();
    const functions = [chain((y) => y.sin(), 20), chain((y) => y.cos().add(y), 9)];
    const [x, y] = [small, backend].map((on) => tidy(() => randomStream(1).normal([bytes / 4], { backend: on })));
    const wanted = await Promise.all(functions.map((f) => tidy(() => f(y)).item()));
    const steps = functions.map((f) => capture(f));
    // x, and two buffers for one and three for the other: all of them apart would be one too many.
    for (let k = 1; k <= 5; k++) {
      for (const [i, step] of steps.entries()) {
        const found = step(x);
        expect(await found.item()).toBe(wanted[i]);
        expect(step.isReplaying).toBe(k > 1);
        found.dispose();
      }
    }
    const others = tidy(() => Array.from({ length: 6 }, () => zeros([bytes / 4], { backend: small }).contiguous()));
    for (const other of others) other.dispose();
    const again = steps[0](x);
    expect(await again.item()).toBe(wanted[0]);
    small.dispose();
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
    step();
    expect(step.isReplaying).toBe(true);
    const twin = randomStream(1);
    const wanted = new Float32Array(size);
    for (let k = 0; k < 5; k++) for (const [i, z] of twin.host.normal([size]).entries()) wanted[i] += z;
    expect(await w.data()).toEqual(wanted);
    small.dispose();
  });

  test.each([
    ["the first step", 0, false],
    ["a replay", 4, false],
    ["a step that goes on otherwise", 4, true],
  ])("a loss in %s is a DeviceLostError, and what it took is given back", async (_, when, isOther) => {
    const lost = await webgpu();
    const rng = randomStream(1);
    const w = tensor([1, 2], { backend: lost });
    const module = { p: tensor([1, 2], { backend: lost }) };
    const optimizer = adamW(module, { lr: 0.1 });
    let k = 0;
    const step = capture(() => {
      const noise = rng.normal([2], { backend: lost });
      w.assign(w.add(noise));
      optimizer.minimize(() => module.p.mul(noise).square().sum());
      if (k === when) lost.dispose();
      return k === when && isOther ? w.sin() : w.cos();
    });
    for (; k < when; k++) tidy(() => void step());
    const [state, before] = [rng.state(), liveTensors()];
    for (let tries = 0; tries < 2; tries++) {
      expect(() => step()).toThrow(DeviceLostError);
      expect(rng.state()).toEqual(state);
      expect(optimizer.steps).toBe(when);
      expect(liveTensors()).toBe(before);
    }
    await expect(w.data()).rejects.toThrow(DeviceLostError);
    step.dispose();
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
