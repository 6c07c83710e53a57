// What an optimizer refuses, passes by and clips: losses that reach nothing, frozen and shared tensors, wrong rates and states.
import {
  adamW,
  buffer,
  ema,
  freeze,
  linear,
  linearDecay,
  loadStateDict,
  parameterCount,
  parameters,
  stateDict,
  unet,
  unfreeze,
  warmup,
} from "@pkg/nn";
import { type Backend, capture, cpu, gradientNorm, randomStream, type Tensor, tensor, zeros } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const backend = cpu();
const init = (seed = 0) => ({ backend, rng: randomStream(seed) });
const values = async (tensors: Iterable<Tensor>) => Promise.all([...tensors].map(async (t) => [...(await t.data())]));

describe("a loss that depends on no parameter", () => {
  const model = { first: linear(2, 3, init()), second: linear(3, 1, { ...init(), bias: false }) };
  const other = linear(2, 1, init(1));
  const x = tensor([[1, 2]], { backend });

  test("is refused with the paths of all, and nothing changes", async () => {
    const optimizer = adamW(model, { lr: 1 });
    const before = await values([...parameters(model), ...optimizer.state().values()]);
    expect(() => optimizer.minimize(() => other.forward(x).sum())).toThrow(
      "adamW: the loss depends on no parameter: not on first.weight [2, 3], first.bias [3], second.weight [3, 1]; want",
    );
    expect(await values([...parameters(model), ...optimizer.state().values()])).toEqual(before);
    expect(optimizer.steps).toBe(0);
  });

  test("is refused with indices and shapes for a list, also with loss scaling, cut graphs and captured", () => {
    const loss = () => model.first.forward(x).detach().sum();
    const wanted = "adamW: the loss depends on no parameter: not on 0 [2, 3], 1 [3], 2 [3, 1]; want";
    for (const lossScaling of [false, true]) {
      const optimizer = adamW(parameters(model), { lr: 1, lossScaling });
      expect(() => optimizer.minimize(loss)).toThrow(wanted);
      expect(() => capture(() => optimizer.minimize(loss))()).toThrow(wanted);
    }
  });

  test("is fine when it reaches one, and the others are told on request", () => {
    const optimizer = adamW(model, { lr: 1e-3 });
    optimizer.minimize(() => model.first.forward(x).sum());
    expect(optimizer.unreached).toEqual(["second.weight [3, 1]"]);
    optimizer.minimize(() => model.second.forward(model.first.forward(x)).sum());
    expect(optimizer.unreached).toEqual([]);
  });

  test("the count of updates is one for all: first reached in update 2001, a parameter moves by 2.94 times the rate", async () => {
    const w = tensor([1], { backend });
    const optimizer = adamW([w], { lr: 1e-3 });
    optimizer.load(optimizer.state(), 2000);
    optimizer.minimize(() => w.mul(5).sum());
    // 0.1 g / √(0.001 g² / (1 − 0.999²⁰⁰¹)), the first moment's correction being 1.
    expect((1 - (await w.item())) / 1e-3).toBeCloseTo(2.94, 2);
  });

  for (const { name, open, skip } of openers) {
    describe.skipIf(skip)(`on ${name}`, () => {
      test("what a loss does not reach stays as it is, with its moments: plain, scaled, clipped and captured", async () => {
        const here = await open();
        for (const isCaptured of [false, true]) {
          for (const options of [{}, { lossScaling: true }, { clipNorm: 0.5 }]) {
            const [used, idle] = [1, 2].map((value) => tensor([value, value], { backend: here }));
            const optimizer = adamW({ used, idle }, { lr: 0.1, weightDecay: 0.5, ...options });
            optimizer.minimize(() => used.mul(idle).sum()); // so that there are moments
            const kept = () => {
              const state = optimizer.state();
              return values([idle, ...["first.1", "second.1"].flatMap((key) => state.get(key) ?? [])]);
            };
            const before = await kept();
            const [start] = await values([used]);
            const step = () => optimizer.minimize(() => used.square().sum());
            const run = isCaptured ? capture(step) : step;
            for (let k = 0; k < 5; k++) run();
            expect(optimizer.unreached).toEqual(["idle [2]"]);
            expect(optimizer.steps).toBe(6);
            expect(await kept()).toEqual(before);
            expect(before.flat().every((value) => value !== 0)).toBe(true);
            expect(await values([used])).not.toEqual([start]);
          }
        }
        await here.dispose();
      });
    });
  }

  test("is not that of a U-Net with classes that gets no labels", () => {
    const net = unet({ inChannels: 1, channels: 8, multipliers: [1], blocks: 1, classes: 3 }, init());
    const optimizer = adamW(net, { lr: 1e-3 });
    optimizer.minimize(() =>
      net
        .forward(zeros([1, 8, 8, 1], { backend }), [3])
        .square()
        .mean(),
    );
    expect(optimizer.unreached).not.toContain("input.weight [3, 3, 1, 8]");
  });
});

describe("a tensor that a module holds twice", () => {
  const tied = () => {
    const embedding = linear(2, 2, { ...init(), bias: false });
    return { embedding, unembedding: embedding, again: { weight: embedding.weight } };
  };

  test("is one parameter, one entry of the state and one count", () => {
    const model = tied();
    expect([...stateDict(model).keys()]).toEqual(["embedding.weight"]);
    expect(parameters(model)).toEqual([model.embedding.weight]);
    expect(parameterCount(model)).toBe(4);
    expect(adamW([model.embedding.weight, model.embedding.weight], { lr: 1 }).parameters).toHaveLength(1);
  });

  test("is stepped, averaged and clipped once", async () => {
    const model = tied();
    const alone = { weight: tensor((await model.embedding.weight.array()) as number[][], { backend }) };
    const steps = [model, alone].map((module) => {
      const optimizer = adamW(module, { lr: 0.1, clipNorm: 1 });
      const average = ema(module, 0.5);
      const [w] = parameters(module);
      for (let k = 0; k < 3; k++) {
        optimizer.minimize(() => w.sub(3).square().sum());
        average.update();
      }
      return values([w, ...average.state().values(), ...optimizer.state().values()]);
    });
    const [shared, single] = await Promise.all(steps);
    expect(shared).toEqual(single);
  });

  test("is loaded by its one path; modules may be cyclic, and hold maps and sets", () => {
    const w = zeros([1], { backend });
    const module: { self?: object; byName: Map<string, Tensor>; all: Set<Tensor> } = {
      byName: new Map([["a", w]]),
      all: new Set([w, zeros([2], { backend })]),
    };
    module.self = module;
    expect([...stateDict(module).keys()]).toEqual(["byName.a", "all.1"]);
  });

  test("is told from two tensors of one path", () => {
    const module = { "a.b": zeros([1], { backend }), a: { b: zeros([1], { backend }) } };
    expect(() => stateDict(module)).toThrow("module: two tensors at a.b, want fields whose paths differ");
  });
});

describe("frozen tensors and buffers", () => {
  const make = () => ({
    body: linear(2, 2, init()),
    head: linear(2, 1, init()),
    mean: buffer(tensor([7, 8], { backend })),
    count: tensor(new Int32Array([3]), { backend }),
  });
  const loss =
    ({ body, head, mean }: ReturnType<typeof make>) =>
    () =>
      head
        .forward(body.forward(tensor([[1, 2]], { backend }).sub(mean)))
        .square()
        .sum();

  test("stay as they are and in the state, while the others train", async () => {
    const module = make();
    freeze(module.body);
    expect(parameters(module)).toEqual([module.head.weight, module.head.bias]);
    expect([...stateDict(module).keys()]).toHaveLength(6);
    const before = await values([...Object.values(module.body), module.mean].filter((t) => typeof t === "object"));
    const optimizer = adamW(module, { lr: 0.1, weightDecay: 0.1 });
    for (let k = 0; k < 3; k++) optimizer.minimize(loss(module));
    expect(await values([...Object.values(module.body), module.mean].filter((t) => typeof t === "object"))).toEqual(
      before,
    );
    expect(optimizer.state().size).toBe(4);
    unfreeze(module.body);
    expect(parameters(module)).toHaveLength(4);
  });

  test("may be frozen and let go while an optimizer runs", async () => {
    const [frozen, plain] = [make(), make()];
    const [a, b] = [adamW(frozen, { lr: 0.1 }), adamW(plain, { lr: 0.1 })];
    const run = (module: ReturnType<typeof make>, optimizer: typeof a) => optimizer.minimize(loss(module));
    run(frozen, a);
    run(plain, b);
    freeze(frozen.body);
    const still = await values([frozen.body.weight]);
    run(frozen, a);
    expect(await values([frozen.body.weight])).toEqual(still);
    freeze(frozen);
    expect(() => run(frozen, a)).toThrow("adamW: all parameters are frozen, want at least one that is not");
    unfreeze(frozen);
    expect(parameters(frozen)).toHaveLength(4);
  });

  test("buffers are no part of an average, but of its state", async () => {
    const module = make();
    const average = ema(module, 0.5);
    module.mean.assign(tensor([1, 2], { backend }));
    average.update();
    expect(await average.state().get("mean")?.array()).toEqual([1, 2]);
    expect(await average.state().get("count")?.array()).toEqual([3]);
    ema(module).load(average.state(), 1);
  });
});

describe("learning rates", () => {
  const bowl = () => {
    const w = tensor([1], { backend });
    return { w, loss: () => w.square().sum() };
  };

  test.each([
    [-1e-3, "-0.001"],
    [Number.NaN, "NaN"],
    [Infinity, "Infinity"],
    [undefined, "undefined"],
  ])("of %s are refused at their step, before anything happens; captured steps too", async (wrong, shown) => {
    for (const captured of [false, true]) {
      const { w, loss } = bowl();
      const optimizer = adamW([w], { lr: (step) => (step < 7 ? 0.1 : (wrong as number)) });
      const plain = () => optimizer.minimize(loss);
      const step = captured ? capture(plain) : plain;
      for (let k = 0; k < 7; k++) step();
      const before = await values([w, ...optimizer.state().values()]);
      expect(() => step()).toThrow(`adamW: lr(7) is ${shown}, want a finite number ≥ 0`);
      expect(await values([w, ...optimizer.state().values()])).toEqual(before);
      expect(optimizer.steps).toBe(7);
    }
  });

  test("are refused where they are no rates at all", () => {
    const { w } = bowl();
    for (const lr of [Number.NaN, -1, "0.1" as unknown as number, undefined as unknown as number])
      expect(() => adamW([w], { lr })).toThrow(
        `adamW: lr is ${typeof lr === "string" ? `"${lr}"` : lr}, want a finite number ≥ 0, or a function`,
      );
    expect(() => warmup(-1, 10)).toThrow("warmup: rate is -1, want a finite number ≥ 0");
    expect(() => linearDecay(1, Number.NaN)).toThrow("linearDecay: steps is NaN, want a finite number ≥ 0");
  });

  test.each([
    ["epsilon", { epsilon: "1e-8" }],
    ["weightDecay", { weightDecay: "0.1" }],
    ["clipNorm", { clipNorm: null }],
    ["betas[1]", { betas: [0.9] }],
    ["betas", { betas: 0.9 }],
  ])("are not alone in being numbers: %s is refused as none", (name, options) => {
    const layer = linear(2, 2, init());
    expect(() => adamW(layer, { lr: 1e-3, ...(options as object) })).toThrow(`adamW: ${name} is `);
  });
});

describe("states that do not fit are refused whole", () => {
  const make = () => {
    const w = tensor([1, 2], { backend });
    return { w, optimizer: adamW([w], { lr: 0.1 }) };
  };

  test.each([Number.NaN, -1, 0.5, undefined])("steps of %s", (steps) => {
    const { w, optimizer } = make();
    expect(() => optimizer.load(optimizer.state(), steps as number)).toThrow(
      `adamW: load: steps is ${steps}, want an integer ≥ 0`,
    );
    const average = ema({ w });
    expect(() => average.load(average.state(), steps as number)).toThrow(`ema: load: updates is ${steps}, want`);
  });

  test("types, backends, disposed tensors and what is no state", async () => {
    const { w, optimizer } = make();
    optimizer.minimize(() => w.sum());
    const before = await values(optimizer.state().values());
    const gone = tensor([0, 0], { backend });
    gone.dispose();
    for (const [value, fault] of [
      [tensor(Int32Array.of(1, 2), { backend }), "int32, want float32"],
      [tensor([1, 2], { backend: cpu() }), "on another backend (cpu: float32), want cpu: float32"],
      [gone, "disposed, want a live tensor"],
      [3, "no tensor"],
    ] as const) {
      const state = new Map<string, Tensor>([...optimizer.state(), ["second.0", value as Tensor]]);
      expect(() => optimizer.load(state, 1)).toThrow(`state: does not fit the module: second.0 is ${fault}`);
    }
    expect(() => loadStateDict({ w }, { w } as unknown as Map<string, Tensor>)).toThrow(
      "state: the state is an object with w, want a Map of tensors by path",
    );
    expect(await values(optimizer.state().values())).toEqual(before);
  });
});

describe.each(openers)("on $name", ({ open, skip }) => {
  /** First moments after one update: 0.1 times the clipped gradient. */
  async function moments(
    at: Backend,
    gradients: number[][],
    isCaptured: boolean,
    lossScaling = false,
  ): Promise<number[]> {
    const optimizer = adamW(
      gradients.map((g) => zeros([g.length], { backend: at })),
      { lr: 0, clipNorm: 1, lossScaling: lossScaling && { initial: 1 } },
    );
    const step = (...given: Tensor[]) => void optimizer.step(given);
    const given = gradients.map((g) => tensor(g, { backend: at }));
    if (isCaptured) capture(step as (...given: Tensor[]) => undefined)(...given);
    else step(...given);
    const state = optimizer.state();
    return (await Promise.all(gradients.map((_, k) => state.get(`first.${k}`)?.data()))).flatMap((data) => [
      ...(data ?? []),
    ]);
  }

  test.skipIf(skip)("gradients whose squares overflow are clipped to the norm; captured and scaled too", async () => {
    const at = await open();
    for (const [isCaptured, lossScaling] of [
      [false, false],
      [true, false],
      [false, true],
    ]) {
      const found = await moments(at, [[3e20, 0, 0], [-4e20]], isCaptured, lossScaling);
      for (const [k, wanted] of [0.06, 0, 0, -0.08].entries()) expect(Math.abs(found[k] - wanted)).toBeLessThan(1e-6);
    }
    at.dispose();
  });

  test.skipIf(skip)("the norm is right from 1e-19 to 1e38, and says what is not finite", async () => {
    const at = await open();
    for (const size of [1e-18, 1, 1e18, 1e20, 5e37]) {
      const norm = await gradientNorm([
        tensor([3 * size, 0], { backend: at }),
        tensor([4 * size], { backend: at }),
      ]).item();
      expect(Math.abs(norm / (5 * size) - 1)).toBeLessThan(1e-6);
    }
    for (const wrong of [Number.NaN, Infinity, -Infinity]) {
      expect(await gradientNorm([tensor([1, wrong], { backend: at })]).item()).toBe(Math.abs(wrong));
    }
    at.dispose();
  });
});
