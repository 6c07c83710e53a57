// State by walking fields; layers; the U-Net; the optimizer and the average.
import {
  adamW,
  attentionBlock,
  ema,
  groupNorm,
  linear,
  loadStateDict,
  parameterCount,
  parameters,
  sinusoidalEmbedding,
  stateDict,
  unet,
  warmup,
} from "@pkg/nn";
import { cpu, grad, liveTensors, randomStream, ShapeError, type Tensor, tensor, tidy, zeros } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { heldTensors } from "../setup/heldTensors.ts";

const backend = cpu();
const init = (seed = 0) => ({ backend, rng: randomStream(seed) });

describe("state", () => {
  const model = { layers: [linear(2, 3, init()), linear(3, 1, { ...init(), bias: false })], note: "not a tensor" };

  test("is the tensors under the paths of their fields", () => {
    expect([...stateDict(model)].map(([path, { shape }]) => [path, shape])).toEqual([
      ["layers.0.weight", [2, 3]],
      ["layers.0.bias", [3]],
      ["layers.1.weight", [3, 1]],
    ]);
    expect(parameterCount(model)).toBe(12);
  });

  test("moves from one module to another of the same shape", async () => {
    const other = { layers: [linear(2, 3, init(1)), linear(3, 1, { ...init(1), bias: false })] };
    loadStateDict(other, stateDict(model));
    const x = tensor([[1, -2]], { backend });
    const through = ({ layers: [a, b] }: typeof other) => b.forward(a.forward(x));
    expect(await through(other).array()).toEqual(await through(model as typeof other).array());
  });

  test("that does not fit is refused with every missing, extra and misshapen path, and nothing changes", async () => {
    const target = { a: zeros([2], { backend }), b: zeros([1], { backend }) };
    const wrong = new Map([
      ["a", zeros([3], { backend })],
      ["c", zeros([1], { backend })],
    ]);
    expect(() => loadStateDict(target, wrong)).toThrow(
      new ShapeError("state: does not fit the module: b is missing; c is not part of it; a is [3], want [2]"),
    );
    expect(await target.a.array()).toEqual([0, 0]);
  });
});

test("time embeddings are cosines, then sines, of geometric frequencies", async () => {
  const rows = (await sinusoidalEmbedding([0, 500], 8, { backend }).array()) as number[][];
  expect(rows[0]).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  for (let k = 0; k < 4; k++) {
    expect(rows[1][k]).toBeCloseTo(Math.cos(500 * 10000 ** (-k / 4)), 6);
    expect(rows[1][4 + k]).toBeCloseTo(Math.sin(500 * 10000 ** (-k / 4)), 6);
  }
  expect(() => sinusoidalEmbedding([0], 7, { backend })).toThrow(
    "sinusoidalEmbedding: 7 channels, want an even number",
  );
});

test("blocks that start as the identity do", async () => {
  const x = randomStream(3).normal([2, 3, 3, 8], { backend });
  expect(
    await attentionBlock(8, { ...init(), heads: 2 })
      .forward(x)
      .array(),
  ).toEqual(await x.array());
  expect(() => attentionBlock(8, { ...init(), heads: 3 })).toThrow("attention: 3 heads of 8 channels, want a divisor");
  expect(() => groupNorm(8, { backend, groups: 3 })).toThrow("groupNorm: 3 groups of 8 channels, want a divisor");
});

describe("the U-Net", () => {
  const config = {
    inChannels: 1,
    channels: 8,
    multipliers: [1, 2, 2],
    blocks: 1,
    attentionLevels: [1],
    heads: 2,
    classes: 3,
  };
  const model = unet(config, init());

  test.each([
    [28, 28],
    [7, 9],
    [1, 5],
    [16, 4],
  ])("takes images of %i × %i", (height, width) => {
    expect(tidy(() => model.forward(zeros([2, height, width, 1], { backend }), [0, 999])).shape).toEqual([
      2,
      height,
      width,
      1,
    ]);
  });

  test("made for weights that are loaded draws none, and gives with them what the drawn one gives", async () => {
    const ops: string[] = [];
    const counted = cpu();
    const run = counted.run.bind(counted);
    counted.run = (op, ...rest) => {
      ops.push(op.name);
      run(op, ...rest);
    };
    const empty = unet(config, { backend: counted, rng: null });
    expect(ops).not.toContain("randomUniform");
    expect(new Set(ops)).toEqual(new Set(["fill", "copy"]));
    const drawn = unet(config, { backend: counted, rng: randomStream(4) });
    expect(ops).toContain("randomUniform");
    for (const p of parameters(drawn)) p.assign(p.add(0.01));
    loadStateDict(empty, stateDict(drawn));
    const x = randomStream(1).normal([1, 8, 8, 1], { backend: counted });
    expect(await empty.forward(x, [3]).data()).toEqual(await drawn.forward(x, [3]).data());
    const none = { backend } as Parameters<typeof unet>[1];
    expect(() => unet(config, none)).toThrow("unet: the rng of its options is undefined, want a random stream");
  });

  test("starts at zero, because its last convolution does", async () => {
    const y = model.forward(randomStream(1).normal([1, 8, 8, 1], { backend }), [3]);
    expect(await y.abs().max().item()).toBe(0);
  });

  test("every parameter gets a gradient once the zero convolutions have moved", async () => {
    const moved = unet(config, init());
    for (const p of parameters(moved)) p.assign(p.add(randomStream(9).normal(p.shape, { backend, std: 0.05 })));
    const x = randomStream(1).normal([2, 9, 8, 1], { backend });
    const paths = [...stateDict(moved).keys()];
    const grads = grad(
      () =>
        moved
          .forward(x, [3, 700], { labels: [0, null] })
          .square()
          .mean(),
      parameters(moved),
    );
    const still = [];
    for (const [k, g] of grads.entries()) if ((await g.abs().max().item()) === 0) still.push(paths[k]);
    expect(still).toEqual([]);
  });

  test("depends on time and on the class", async () => {
    const moved = unet(config, init());
    for (const p of parameters(moved)) p.assign(p.add(randomStream(9).normal(p.shape, { backend, std: 0.05 })));
    const x = zeros([1, 8, 8, 1], { backend });
    const at = async (t: number, label: number | null) =>
      (await moved.forward(x, [t], { labels: [label] }).data()).join();
    const outputs = await Promise.all([at(0, 0), at(10, 0), at(0, 1), at(0, null)]);
    expect(new Set(outputs).size).toBe(4);
  });

  test("leaves nothing behind", () => {
    const before = heldTensors();
    model.forward(zeros([1, 8, 8, 1], { backend }), [0]).dispose();
    expect(liveTensors() - before).toBeLessThanOrEqual(1); // the zeros given to it
  });

  test("refuses what does not fit, naming it", () => {
    const x = zeros([2, 8, 8, 1], { backend });
    expect(() => model.forward(zeros([2, 8, 8, 3], { backend }), [0, 0])).toThrow(
      "unet: x has shape [2, 8, 8, 3], want [batch, height, width, 1]",
    );
    expect(() => model.forward(x, [0])).toThrow("unet: 1 times for a batch of 2, want one per sample");
    expect(() => model.forward(x, [0, Number.NaN])).toThrow("unet: times[1] is NaN, want finite numbers");
    expect(() => model.forward(x, [0, 0], { labels: [0, 3] })).toThrow(
      "unet: label 3, want null or an integer in [0, 2]",
    );
    expect(() => unet({ ...config, channels: 7 }, init())).toThrow("unet: channels is 7, want an even number");
    expect(() => unet({ ...config, multipliers: [] }, init())).toThrow("unet: multipliers is [], want at least one");
    expect(() => unet({ ...config, attentionLevels: [3] }, init())).toThrow(
      "unet: attentionLevels has 3, want integers in [0, 2]",
    );
    expect(() => unet({ ...config, blocks: 0 }, init())).toThrow("unet: blocks is 0, want a positive integer");
    expect(() => unet({ ...config, dropout: 1 }, init())).toThrow("unet: dropout is 1, want a rate in [0, 1)");
  });
});

describe("AdamW", () => {
  /** The paper's algorithm 2, one number at a time. */
  function byHand(
    gradients: number[][],
    start: number[],
    { lr, weightDecay }: { lr: number; weightDecay: number },
  ): number[] {
    const p = [...start];
    const [m, v] = [p.map(() => 0), p.map(() => 0)];
    for (const [k, g] of gradients.entries()) {
      for (let i = 0; i < p.length; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        v[i] = 0.999 * v[i] + 0.001 * g[i] ** 2;
        const [mHat, vHat] = [m[i] / (1 - 0.9 ** (k + 1)), v[i] / (1 - 0.999 ** (k + 1))];
        p[i] -= lr * (mHat / (Math.sqrt(vHat) + 1e-8) + weightDecay * p[i]);
      }
    }
    return p;
  }

  test("follows the paper for 100 updates", async () => {
    const rng = randomStream(5);
    const gradients = Array.from({ length: 100 }, () => rng.normal([3], { backend }));
    const p = tensor([1, -2, 0.5], { backend });
    const optimizer = adamW([p], { lr: 0.01, weightDecay: 0.1 });
    for (const g of gradients) optimizer.step([g]);
    const wanted = byHand(await Promise.all(gradients.map(async (g) => [...(await g.data())])), [1, -2, 0.5], {
      lr: 0.01,
      weightDecay: 0.1,
    });
    for (const [i, found] of [...(await p.data())].entries())
      expect(Math.abs(found / wanted[i] - 1)).toBeLessThan(1e-4);
    expect(optimizer.steps).toBe(100);
  });

  test("clips by the norm over all parameters", async () => {
    // The first update of Adam has the size of lr whatever the gradient: two updates tell the scale apart.
    const [a, b] = [zeros([1], { backend }), zeros([1], { backend })];
    const optimizer = adamW([a, b], { lr: 1, clipNorm: 1 });
    optimizer.step([tensor([30], { backend }), tensor([40], { backend })]);
    const first = optimizer.state();
    expect(await first.get("first.0")?.item()).toBeCloseTo(0.1 * 0.6, 6);
    expect(await first.get("first.1")?.item()).toBeCloseTo(0.1 * 0.8, 6);
    optimizer.step([tensor([0.3], { backend }), tensor([0.4], { backend })]);
    expect(await optimizer.state().get("first.0")?.item()).toBeCloseTo(0.09 * 0.6 + 0.1 * 0.3, 6);
  });

  test("finds the minimum of a bowl, and resumes bit for bit", async () => {
    const target = tensor([3, -1], { backend });
    const loss = (p: Tensor) => () => p.sub(target).square().sum();
    const [p, q] = [zeros([2], { backend }).contiguous(), zeros([2], { backend }).contiguous()];
    const [whole, half] = [adamW([p], { lr: warmup(0.1, 10) }), adamW([q], { lr: warmup(0.1, 10) })];
    for (let k = 0; k < 400; k++) whole.minimize(loss(p)).dispose();
    for (let k = 0; k < 200; k++) half.minimize(loss(q)).dispose();
    const rest = adamW([q], { lr: warmup(0.1, 10) });
    rest.load(half.state(), half.steps);
    for (let k = 0; k < 200; k++) rest.minimize(loss(q)).dispose();
    expect(await q.data()).toEqual(await p.data());
    expect(await p.sub(target).abs().max().item()).toBeLessThan(1e-3);
  });

  test("refuses bad options", () => {
    const p = [zeros([1], { backend })];
    expect(() => adamW(p, { lr: -1 })).toThrow("adamW: lr is -1, want a finite number ≥ 0");
    expect(() => adamW(p, { lr: 1, betas: [0.9, 1] })).toThrow("adamW: betas[1] is 1, want a number in [0, 1)");
    expect(() => adamW([], { lr: 1 })).toThrow("adamW: no parameters, want at least one");
    expect(() => adamW(p, { lr: 1 }).step([])).toThrow("adamW: 0 gradients for 1 parameters, want one each");
  });
});

test("the average follows its parameters with a weight that grows to the decay", async () => {
  const module = { w: tensor([0], { backend }) };
  const average = ema(module, 0.5);
  let wanted = 0;
  for (let n = 0; n < 20; n++) {
    module.w.assign(tensor([n], { backend }));
    average.update();
    const d = Math.min(0.5, (1 + n) / (10 + n));
    wanted = d * wanted + (1 - d) * n;
  }
  expect(await average.state().get("w")?.item()).toBeCloseTo(wanted, 4);
  expect(() => ema(module, 1)).toThrow("ema: decay is 1, want a number in [0, 1)");
});
