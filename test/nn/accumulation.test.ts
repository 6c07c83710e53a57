// Updates over micro-batches: those of one batch within rounding, whole or not at all, and refused where parts are unequal.
import { cosine, noisePrediction } from "@pkg/diffusion";
import { type AdamWOptions, adamW, type Mlp, mlp, parameters } from "@pkg/nn";
import { type Backend, concat, cpu, explain, randomStream, type StepReport, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const SAMPLES = 12;

/** A perceptron that fits sines, by a mean over samples. */
function problem(backend: Backend, options: Partial<AdamWOptions> = {}) {
  const rng = randomStream(3);
  const model = mlp({ sizes: [2, 16, 2], timeChannels: 4 }, { backend, rng });
  const optimizer = adamW(model, { lr: 0.01, ...options });
  const x = rng.normal([SAMPLES, 2], { backend });
  const t = rng.uniform([SAMPLES], { backend });
  const loss = ({ x, t }: { x: Tensor; t: Tensor }) => model.forward(x, t).sub(x.sin()).square().mean();
  const parts = (n: number) => {
    const [xs, ts] = [x.split(SAMPLES / n), t.split(SAMPLES / n)];
    return xs.map((x, k) => ({ x, t: ts[k] }));
  };
  const state = () => numbers([...parameters(model), ...optimizer.state().values()]);
  return { rng, model, optimizer, loss, whole: { x, t }, parts, state };
}

const numbers = async (tensors: Iterable<Tensor>): Promise<number[]> =>
  (await Promise.all([...tensors].map(async (t) => [...(await t.data())]))).flat();

/** ‖a − b‖ / ‖b‖. */
const distance = (a: readonly number[], b: readonly number[]) =>
  Math.hypot(...a.map((value, k) => value - b[k])) / Math.hypot(...b);

test.each<[string, Partial<AdamWOptions>]>([
  ["plain", {}],
  ["clipped", { clipNorm: 1e-3 }],
  ["with loss scaling", { lossScaling: { initial: 8, interval: 2 } }],
  ["with both", { lossScaling: true, clipNorm: 1e-3, weightDecay: 0.1 }],
])("twenty updates of n micro-batches are those of one batch: %s", async (_, options) => {
  const backend = cpu({ precision: "float64" });
  const run = async (n: number) => {
    const { optimizer, loss, parts, whole, state } = problem(backend, options);
    const losses = Array.from({ length: 20 }, () =>
      n === 0 ? optimizer.minimize(() => loss(whole)) : optimizer.minimize(loss, { batches: parts(n) }),
    );
    return [...(await numbers(losses)), ...(await state())];
  };
  const wanted = await run(0);
  expect(await run(1)).toEqual(wanted);
  for (const n of [2, 3, 12]) expect(distance(await run(n), wanted)).toBeLessThan(1e-11);
});

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("the gradients are those of one batch within rounding", async () => {
    const backend = await open();
    const moments = async (n: number) => {
      const { optimizer, loss, parts, whole } = problem(backend, { lr: 0 });
      if (n === 0) optimizer.minimize(() => loss(whole));
      else optimizer.minimize(loss, { batches: parts(n) });
      return numbers([...optimizer.state()].flatMap(([name, m]) => (name.startsWith("first") ? [m] : [])));
    };
    const wanted = await moments(0);
    for (const n of [2, 3, 12]) expect(distance(await moments(n), wanted)).toBeLessThan(1e-6);
    await backend.dispose();
  });

  test.skipIf(skip)("a gradient that is not finite in one micro-batch skips the whole update", async () => {
    const backend = await open();
    const { optimizer, loss, parts, state } = problem(backend, { lossScaling: { initial: 8 } });
    optimizer.minimize(loss, { batches: parts(3) });
    const before = await state();
    const [first, second, third] = parts(3);
    const batches = [first, { ...second, x: second.x.mul(Number.NaN) }, third];
    optimizer.minimize(loss, { batches });
    expect((await state()).slice(0, -4)).toEqual(before.slice(0, -4)); // but for the scale, which is last
    expect(await optimizer.lossScale()?.item()).toBe(4);
    await backend.dispose();
  });

  test.skipIf(skip)("an update that throws in a later micro-batch changes nothing, draws included", async () => {
    const backend = await open();
    const { optimizer, loss, parts, state, rng } = problem(backend);
    const noisy = (batch: { x: Tensor; t: Tensor }) =>
      loss({ ...batch, x: batch.x.add(rng.normal(batch.x.shape, { backend })) });
    optimizer.minimize(noisy, { batches: parts(3) });
    const [before, stream, steps] = [await state(), rng.state(), optimizer.steps];
    let calls = 0;
    const failing = (batch: { x: Tensor; t: Tensor }) => {
      if (++calls === 3) throw new Error("no more");
      return noisy(batch);
    };
    expect(() => optimizer.minimize(failing, { batches: parts(3) })).toThrow("no more");
    expect([await state(), rng.state(), optimizer.steps]).toEqual([before, stream, steps]);
    await backend.dispose();
  });
});

test.skipIf(openers[2].skip)(
  "updates over micro-batches are replayed, with the bits of those that run op by op",
  async () => {
    const run = async (isCaptured: boolean) => {
      const backend = await openers[2].open(isCaptured ? {} : ({ capture: false } as object));
      const rng = randomStream(5);
      const model: Mlp = mlp({ sizes: [2, 8, 2], timeChannels: 4 }, { backend, rng });
      const optimizer = adamW(model, { lr: 0.01, clipNorm: 1 });
      const loss = (x0: Tensor) => noisePrediction(model, cosine(100), x0, rng);
      const told: StepReport[] = [];
      for (let k = 0; k < 4; k++) {
        const batches = rng.normal([8, 2], { backend }).split(2);
        const steps = await explain(() => void optimizer.minimize(loss, { batches }));
        told.push(...steps.filter(({ name }) => name === "minimize"));
      }
      const found = await numbers(parameters(model));
      await backend.dispose();
      return { found, replays: told.map(({ isReplayed }) => isReplayed) };
    };
    const captured = await run(true);
    expect(captured.replays.slice(2)).toEqual([true, true]);
    expect(captured.found).toEqual((await run(false)).found);
  },
);

test("a parameter that only some micro-batches reach is trained by these", async () => {
  const backend = cpu();
  const [a, b, c] = [1, 2, 3].map((value) => tensor([value], { backend }));
  const optimizer = adamW({ a, b, c }, { lr: 0.1 });
  const loss = ({ of }: { of: Tensor[] }) => of.reduce((sum, w) => sum.add(w.square().sum()), tensor(0, { backend }));
  const value = optimizer.minimize(loss, { batches: [{ of: [a] }, { of: [b] }] });
  expect(await value.item()).toBe((1 + 4) / 2);
  expect(optimizer.unreached).toEqual(["c [1]"]);
  const first = await numbers(["first.0", "first.1", "first.2"].flatMap((key) => optimizer.state().get(key) ?? []));
  expect(first.map((m) => Math.fround(m))).toEqual([0.1, 0.2, 0].map(Math.fround)); // 0.1 · 2w / 2
});

test("micro-batches of unequal size, and none, are refused before any work", () => {
  const backend = cpu();
  const { optimizer, loss, whole, parts } = problem(backend);
  const { x, t } = whole;
  const refused = (batches: unknown) =>
    expect(() => optimizer.minimize(loss, { batches: batches as { x: Tensor; t: Tensor }[] }));
  const uneven = x.split([5, 5, 2]).map((x) => ({ x, t }));
  refused(uneven).toThrow("minimize: batches[2].x is float32 [2, 2], want float32 [5, 2] as in batches[0]");
  refused([
    { x, t: [1, 2] },
    { x, t: [1, 2, 3] },
  ]).toThrow("minimize: batches[1].t is a list of 3, want a list of 2 as in batches[0]");
  refused([{ x, t }, { x }]).toThrow("minimize: batches[1].t is none, want float32 [12] as in batches[0]");
  refused([]).toThrow("minimize: batches is a list of 0, want a list of at least one micro-batch");
  refused(x).toThrow("minimize: batches is Tensor(float32 [12, 2] on cpu: float32), want a list of at least one");
  refused([0, 1]).toThrow("minimize: batches[0] is 0, want a tensor, or a list or object of tensors and lists");
  expect(optimizer.steps).toBe(0);
  optimizer.minimize(loss, { batches: parts(2) });
});

test("the peak of an update is that of one micro-batch, not of the batch", () => {
  const peakOf = (n: number) => {
    const backend = cpu();
    const rng = randomStream(0);
    const model = mlp({ sizes: [2, 8, 8, 2], timeChannels: 4 }, { backend, rng });
    const optimizer = adamW(model, { lr: 0.01 });
    const batches = Array.from({ length: n }, () => rng.normal([1024 / n, 2], { backend }));
    const before = backend.memory().bytes;
    const loss = (x: Tensor) =>
      model
        .forward(x, new Array(1024 / n).fill(1))
        .square()
        .mean();
    if (n === 1) optimizer.minimize(() => loss(concat(batches)));
    else optimizer.minimize(loss, { batches });
    return backend.memory().peakBytes - before;
  };
  expect(peakOf(16)).toBeLessThan(peakOf(1) / 8);
});
