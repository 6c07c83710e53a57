// Times as tensors: their embedding beside the host's, derivatives by them, extra numbers, and what is refused.
import { mlp, type SinusoidOptions, sinusoidalEmbedding, stateDict, type Times, unet } from "@pkg/nn";
import { type Backend, cpu, grad, jvp, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";

const exact = cpu({ precision: "float64" });
const backends = openers.filter(({ skip }) => !skip);

async function farthest(found: Tensor, wanted: ArrayLike<number>): Promise<number> {
  const values = await found.data();
  expect(values).toHaveLength(wanted.length);
  return Array.from(values).reduce((most, value, k) => Math.max(most, Math.abs(value - wanted[k])), 0);
}

describe("the embedding of a tensor of times", () => {
  const times = [0, 1, 0.001, 33.3, 499.5, 998.7, 999, 1000];
  const forms: SinusoidOptions[] = [{}, { order: "sinFirst", shift: 1 }, { maxPeriod: 500, scale: 0.5 }];
  /** In float64. */
  const rows = (form: SinusoidOptions): number[] => {
    const { maxPeriod = 10_000, order = "cosFirst", shift = 0, scale = 1 } = form;
    return times.flatMap((t) => {
      const angles = Array.from({ length: 8 }, (_, k) => scale * t * maxPeriod ** (-k / (8 - shift)));
      const halves = [angles.map(Math.cos), angles.map(Math.sin)];
      return (order === "cosFirst" ? halves : halves.reverse()).flat();
    });
  };

  test.each(backends)("is the host's to 1.8e-4 at t = 1000, and of steps bit for bit, on $name", async ({ open }) => {
    const backend = await open();
    for (const form of forms) {
      const wanted = rows(form);
      const given = tensor(times, { backend });
      // The product t f and f itself are rounded: 2 · 2⁻²⁴ of an angle up to 1000, and as much again for the rounding of t.
      expect(await farthest(sinusoidalEmbedding(given, 16, form), wanted)).toBeLessThan(3 * 2 ** -24 * 1000);
      expect(await farthest(sinusoidalEmbedding(times, 16, { ...form, backend }), wanted)).toBeLessThan(2 ** -24);
      const steps = [0, 999, 7, 500];
      const onHost = await sinusoidalEmbedding(steps, 16, { ...form, backend }).data();
      const onDevice = sinusoidalEmbedding(tensor(Int32Array.from(steps), { backend }), 16, { ...form, steps: 1000 });
      expect(await onDevice.data()).toEqual(onHost);
    }
  });

  test.each(backends)(
    "of a step out of range is NaN, and without steps there is no range, on $name",
    async ({ open }) => {
      const backend = await open();
      const given = tensor(Int32Array.of(-1, 10, 9), { backend });
      const found = (await sinusoidalEmbedding(given, 2, { steps: 10 }).array()) as number[][];
      expect(found.slice(0, 2).flat()).toEqual(new Array(4).fill(Number.NaN));
      expect(found[2][0]).toBeCloseTo(Math.cos(9), 6);
      const free = (await sinusoidalEmbedding(given, 2).array()) as number[][];
      expect(free[1][1]).toBeCloseTo(Math.sin(10), 6);
    },
  );

  test("refuses options out of range, by their names", () => {
    const embed = (form: object) => () => sinusoidalEmbedding([1], 8, { backend: exact, ...form });
    expect(embed({ maxPeriod: 0 })).toThrow("sinusoidalEmbedding: maxPeriod is 0, want a positive number");
    expect(embed({ order: "sin" })).toThrow('sinusoidalEmbedding: order is "sin", want cosFirst or sinFirst');
    expect(embed({ shift: 4 })).toThrow("sinusoidalEmbedding: shift is 4, want a number in [0, 4)");
    expect(embed({ scale: Number.NaN })).toThrow("sinusoidalEmbedding: scale is NaN, want a finite number but 0");
    expect(embed({ steps: 0 })).toThrow("sinusoidalEmbedding: steps is 0, want a positive integer");
    const bools = tensor([1], { backend: exact, dtype: "bool" });
    expect(() => sinusoidalEmbedding(bools, 8)).toThrow("sinusoidalEmbedding: times is Tensor(bool [1] on cpu");
    const column = tensor([[1]], { backend: exact });
    expect(() => sinusoidalEmbedding(column, 8)).toThrow("sinusoidalEmbedding: times is Tensor(float32 [1, 1] on cpu");
  });
});

/** Networks whose last layers are not zero. */
const networks: Readonly<Record<string, (backend: Backend) => { x: Tensor; f: (x: Tensor, t: Tensor) => Tensor }>> = {
  mlp(backend) {
    const net = mlp(
      { sizes: [2, 6, 1], timeChannels: 4, timeEmbedding: { maxPeriod: 10 } },
      { backend, rng: randomStream(1) },
    );
    return { x: randomStream(2).normal([2, 2], { backend }), f: (x, t) => net.forward(x, t) };
  },
  unet(backend) {
    const config = { inChannels: 1, channels: 4, multipliers: [1], blocks: 1, timeEmbedding: { maxPeriod: 10 } };
    const net = unet(config, { backend, rng: randomStream(1) });
    const rng = randomStream(5);
    for (const p of stateDict(net).values()) p.assign(p.add(rng.normal(p.shape, { backend }).mul(0.1)));
    return { x: randomStream(2).normal([2, 4, 4, 1], { backend }), f: (x, t) => net.forward(x, t) };
  },
};

describe.each(Object.entries(networks))("derivatives by time of %s", (_, network) => {
  const T = [0.7, 2.3];
  /** Central differences in float64 of a scalar function of the times. */
  const difference = async (f: (t: Tensor) => Tensor, k: number, h = 1e-4): Promise<number> => {
    const at = (sign: number) =>
      tensor(
        Float64Array.from(T, (t, i) => t + (i === k ? sign * h : 0)),
        { backend: exact },
      );
    return ((await f(at(1)).item()) - (await f(at(-1)).item())) / (2 * h);
  };
  /** First, second and mixed derivatives, and both tangents at once: [batch] or scalars. */
  const all = (backend: Backend): Tensor[] => {
    const { x, f } = network(backend);
    const t = tensor(Float64Array.from(T), { backend });
    const sum = (y: Tensor, s: Tensor) => f(y, s).sin().sum();
    const first = (s: Tensor) => grad((r) => sum(x, r), [s])[0];
    const second = grad((s) => first(s).sum(), [t])[0];
    const mixed = grad(
      (s) =>
        grad((y) => sum(y, s), [x])[0]
          .square()
          .sum(),
      [t],
    )[0];
    const v = randomStream(3).normal(x.shape, { backend });
    const ones = tensor(
      T.map(() => 1),
      { backend },
    );
    const along = jvp((y, s) => f(y, s), [x, t], [v, ones]).tangent.sum();
    const nested = grad(
      (s) =>
        jvp((r) => f(x, r), [s], [ones])
          .tangent.square()
          .sum(),
      [t],
    )[0];
    return [first(t), second, mixed, along, nested];
  };

  test("are those of central differences in float64", async () => {
    const { x, f } = network(exact);
    const [first, second, mixed, along, nested] = await Promise.all(
      all(exact).map(async (found) => [...(await found.data())]),
    );
    const sum = (y: Tensor, s: Tensor) => f(y, s).sin().sum();
    const slope = (s: Tensor) => grad((r) => sum(x, r), [s])[0].sum();
    const energy = (s: Tensor) =>
      grad((y) => sum(y, s), [x])[0]
        .square()
        .sum();
    const one = tensor(
      T.map(() => 1),
      { backend: exact },
    );
    const speed = (s: Tensor) =>
      jvp((r) => f(x, r), [s], [one])
        .tangent.square()
        .sum();
    for (const k of [0, 1]) {
      expect(first[k]).toBeCloseTo(await difference((s) => sum(x, s), k), 7);
      expect(second[k]).toBeCloseTo(await difference(slope, k), 7);
      expect(mixed[k]).toBeCloseTo(await difference(energy, k), 7);
      expect(nested[k]).toBeCloseTo(await difference(speed, k), 7);
      expect(Math.abs(second[k])).toBeGreaterThan(1e-4); // none of them is 0 by itself
    }
    const v = randomStream(3).normal(x.shape, { backend: exact });
    const shifted = async (h: number) => {
      const t = tensor(
        Float64Array.from(T, (time) => time + h),
        { backend: exact },
      );
      return f(x.add(v.mul(h)), t)
        .sum()
        .item();
    };
    expect(along[0]).toBeCloseTo(((await shifted(1e-4)) - (await shifted(-1e-4))) / 2e-4, 6);
  });

  test.each(backends)("are the same on $name", async ({ open }) => {
    const backend = await open();
    const wanted = all(exact);
    for (const [k, found] of all(backend).entries()) {
      const values = await wanted[k].data();
      const size = Math.max(...Array.from(values, Math.abs));
      expect(await farthest(found, values)).toBeLessThan(2e-4 * Math.max(1, size));
    }
  });
});

describe("more numbers", () => {
  const backend = exact;
  const x = randomStream(1).normal([3, 2], { backend });
  const image = randomStream(1).normal([3, 4, 4, 1], { backend });
  const init = { backend, rng: randomStream(2) };
  const plane = mlp({ sizes: [2, 8, 2], timeChannels: 4, numbers: { r: {}, guidance: { scale: 10 } } }, init);
  const net = unet({ inChannels: 1, channels: 4, multipliers: [1], blocks: 1, numbers: { d: { scale: 100 } } }, init);
  for (const p of stateDict(net).values()) p.assign(p.add(0.05));

  test("are embedded as times are, each by its own maps", async () => {
    const numbers = { r: [1, 2, 3], guidance: tensor([0.5, 1, 2], { backend }) };
    const found = plane.forward(x, [4, 5, 6], { numbers });
    const same = plane.forward(x, tensor([4, 5, 6], { backend }), {
      numbers: { ...numbers, r: tensor([1, 2, 3], { backend }) },
    });
    expect(await found.sub(same).abs().max().item()).toBeLessThan(1e-6);
    const other = plane.forward(x, [4, 5, 6], { numbers: { ...numbers, r: [1, 2, 4] } });
    const changed = (await found.sub(other).abs().sum(1).data()) as ArrayLike<number>;
    expect(Array.from(changed, (value) => value > 1e-6)).toEqual([false, false, true]);
    expect([...stateDict(net).keys()].filter((path) => path.startsWith("numbers"))).toEqual([
      "numbers.d.first.weight",
      "numbers.d.first.bias",
      "numbers.d.second.weight",
      "numbers.d.second.bias",
    ]);
    const step = (d: Times) => net.forward(image, [4, 5, 6], { numbers: { d } });
    const moved = await step([0, 0, 0])
      .sub(step([0, 0, 1]))
      .abs()
      .sum([1, 2, 3])
      .data();
    expect(Array.from(moved, (value) => value > 1e-9)).toEqual([false, false, true]);
    const slope = grad((d) => step(d).sum(), [tensor([0.1, 0.2, 0.3], { backend })])[0];
    expect(await slope.abs().min().item()).toBeGreaterThan(1e-9);
  });

  test("are refused when they are missing, unknown or of another length", () => {
    const call = (numbers?: Record<string, Times>) => () => plane.forward(x, [4, 5, 6], { numbers });
    expect(call()).toThrow("mlp: no numbers.r in the call, want one per sample");
    expect(call({ r: [1, 2, 3] })).toThrow("mlp: no numbers.guidance in the call, want one per sample");
    const whole = { r: [1, 2, 3], guidance: [1, 2, 3] };
    expect(call({ ...whole, d: [1, 2, 3] })).toThrow(
      "mlp: numbers.d given to a model that knows r, guidance, want one that is made with numbers: { d: {} }",
    );
    expect(call({ ...whole, r: [1] })).toThrow("mlp: 1 numbers.r for a batch of 3, want one per sample");
    const without = mlp({ sizes: [2, 2], timeChannels: 2 }, init);
    expect(() => without.forward(x, [1, 2, 3], { numbers: { r: [1, 2, 3] } })).toThrow(
      "numbers.r given to a model that knows none",
    );
    expect(() => mlp({ sizes: [2, 2], numbers: { r: {} } }, init)).toThrow("mlp: numbers r without timeChannels");
    expect(() => unet({ inChannels: 1, channels: 4, multipliers: [1], numbers: { r: { shift: 2 } } }, init)).toThrow(
      "unet: numbers.r: shift is 2, want a number in [0, 2), half of the channels",
    );
    expect(() => net.forward(image, [1, 2, 3])).toThrow("unet: no numbers.d in the call, want one per sample");
  });
});

test("a tensor of times of another length, type or backend is refused by name, and so are labels", () => {
  const backend = cpu();
  const other = cpu();
  const init = { backend, rng: randomStream(2) };
  const x = randomStream(1).normal([3, 2], { backend });
  const net = mlp({ sizes: [2, 2], timeChannels: 2, classes: 2 }, init);
  const times =
    (values: number[], options: object = {}) =>
    () =>
      net.forward(x, tensor(values, { backend, ...options }));
  expect(times([1, 2])).toThrow(
    "mlp: times is Tensor(float32 [2] on cpu: float32) for a batch of 3, want float32 or int32 [3] on x's backend, cpu: float32",
  );
  expect(times([1, 2, 3], { shape: [3, 1] })).toThrow(
    "mlp: times is Tensor(float32 [3, 1] on cpu: float32) for a batch of 3",
  );
  expect(times([1, 2, 3], { dtype: "uint32" })).toThrow(
    "mlp: times is Tensor(uint32 [3] on cpu: float32) for a batch of 3",
  );
  expect(times([1, 2, 3], { backend: other })).toThrow(
    "mlp: times is Tensor(float32 [3] on cpu: float32), opened on its own,",
  );
  const labels =
    (values: number[], options: object = {}) =>
    () =>
      net.forward(x, [1, 2, 3], { labels: tensor(values, { backend, dtype: "int32", ...options }) });
  expect(labels([0, 1])).toThrow("mlp: labels is Tensor(int32 [2] on cpu: float32) for a batch of 3, want int32 [3]");
  expect(labels([0, 1, 1], { dtype: "float32" })).toThrow("mlp: labels is Tensor(float32 [3] on cpu: float32)");
  expect(labels([0, 1, 1], { backend: other })).toThrow(
    "mlp: labels is Tensor(int32 [3] on cpu: float32), opened on its own,",
  );
});

test.each(backends)(
  "labels in a tensor are those of a list, with the number of classes for none, on $name",
  async ({ open }) => {
    const backend = await open();
    const init = { backend, rng: randomStream(2) };
    const net = mlp({ sizes: [2, 2], classes: 2 }, init);
    const x = randomStream(1).normal([3, 2], { backend });
    const given = tensor(Int32Array.of(1, 2, 0), { backend });
    const [a, b] = [net.forward(x, [], { labels: [1, null, 0] }), net.forward(x, [], { labels: given })];
    expect(await b.data()).toEqual(await a.data());
    const wrong = tensor(Int32Array.of(1, 3, -1), { backend });
    const found = (await net.forward(x, [], { labels: wrong }).array()) as number[][];
    expect(found.map((row) => row.some(Number.isNaN))).toEqual([false, true, true]);
  },
);
