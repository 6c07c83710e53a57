// Each optimizer against its formula, written out in float64; its state saved and resumed; what it refuses.
import { adamW, edge, lion, muon, newtonSchulz, type Optimizer, type OptimizerOptions, sgd } from "@pkg/nn";
import { type Backend, capture, cpu, randomStream, type Tensor, tensor, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { gpuAvailable } from "../../setup/gpu.ts";

type Numbers = number[];
type Make = (module: object, options: OptimizerOptions) => Optimizer;

const SHAPES: Readonly<Record<string, readonly number[]>> = {
  first: [2, 3],
  wide: [2, 6],
  tall: [2, 2, 1, 3],
  bias: [3],
};
const RATES = [0.1, 0.05, 0.2, 0.1, 0.025, 0.1];
const zeros = (n: number): Numbers => new Array(n).fill(0);

/** The start of parameter `name`, and its gradient at step t. */
const start = (name: string) =>
  Array.from(
    randomStream(3)
      .split(name)
      .host.normal([sizeOf(name)]),
  );
const gradient = (name: string, t: number) =>
  Array.from(
    randomStream(4)
      .split(name)
      .split(t)
      .host.normal([sizeOf(name)]),
  );
const sizeOf = (name: string) => SHAPES[name].reduce((a, b) => a * b, 1);

/** A formula: the next parameter; what it keeps is its own. */
type Formula = (p: Numbers, g: Numbers, lr: number, t: number) => Numbers;

const sgdFormula = (mu: number, nesterov: boolean, decay: number): Formula => {
  let buffer: Numbers | undefined; // begins with the first gradient, as PyTorch's
  return (p, g, lr) => {
    const d = g.map((x, i) => x + decay * p[i]);
    const b = d.map((x, i) => (buffer ? mu * buffer[i] + x : x));
    buffer = b;
    return p.map((x, i) => x - lr * (nesterov ? d[i] + mu * b[i] : b[i]));
  };
};

const lionFormula = ([b1, b2]: readonly [number, number], decay: number): Formula => {
  let m: Numbers | undefined;
  return (p, g, lr) => {
    const old = m ?? zeros(p.length);
    m = g.map((x, i) => b2 * old[i] + (1 - b2) * x);
    return p.map((x, i) => x - lr * (Math.sign(b1 * old[i] + (1 - b1) * g[i]) + decay * x));
  };
};

const adamFormula = ([b1, b2]: readonly [number, number], epsilon: number, decay: number): Formula => {
  let [m, v] = [[] as Numbers, [] as Numbers];
  return (p, g, lr, t) => {
    m = g.map((x, i) => b1 * (m[i] ?? 0) + (1 - b1) * x);
    v = g.map((x, i) => b2 * (v[i] ?? 0) + (1 - b2) * x * x);
    const step = (i: number) => m[i] / (1 - b1 ** t) / (Math.sqrt(v[i] / (1 - b2 ** t)) + epsilon);
    return p.map((x, i) => x * (1 - lr * decay) - lr * step(i));
  };
};

/** Rows of a matrix of so many columns. */
const rowsOf = (a: Numbers, columns: number) =>
  Array.from({ length: a.length / columns }, (_, r) => a.slice(r * columns, (r + 1) * columns));
const product = (a: Numbers[], b: Numbers[]) =>
  a.map((row) => b[0].map((_, j) => row.reduce((s, x, k) => s + x * b[k][j], 0)));
const transposed = (a: Numbers[]) => a[0].map((_, j) => a.map((row) => row[j]));

/** a X + b X Xᵀ X + c X Xᵀ X Xᵀ X, five times, of X / ‖X‖: always by the Gram matrix of the rows. */
function orthogonalised(g: Numbers[]): Numbers[] {
  const norm = Math.sqrt(g.flat().reduce((s, x) => s + x * x, 0)) + 1e-7;
  let x = g.map((row) => row.map((value) => value / norm));
  for (let k = 0; k < 5; k++) {
    const cubic = product(product(x, transposed(x)), x);
    const quintic = product(product(x, transposed(x)), cubic);
    x = x.map((row, r) => row.map((value, j) => 3.4445 * value - 4.775 * cubic[r][j] + 2.0315 * quintic[r][j]));
  }
  return x;
}

const muonFormula = (mu: number, nesterov: boolean, decay: number, columns: number): Formula => {
  let b: Numbers = [];
  return (p, g, lr) => {
    b = g.map((x, i) => mu * (b[i] ?? 0) + x);
    const along = orthogonalised(rowsOf(nesterov ? g.map((x, i) => x + mu * b[i]) : b, columns));
    const scale = 0.2 * Math.sqrt(Math.max(along.length, columns));
    return p.map((x, i) => x * (1 - lr * decay) - lr * scale * along.flat()[i]);
  };
};

/** Every optimizer and option, and the formula of each parameter. */
const cases: readonly { name: string; make: Make; formula: (parameter: string) => Formula }[] = [
  { name: "sgd", make: sgd, formula: () => sgdFormula(0, false, 0) },
  {
    name: "sgd with momentum and weight decay",
    make: (module, options) => sgd(module, { ...options, momentum: 0.9, weightDecay: 0.1 }),
    formula: () => sgdFormula(0.9, false, 0.1),
  },
  {
    name: "sgd with Nesterov's momentum",
    make: (module, options) => sgd(module, { ...options, momentum: 0.8, nesterov: true, weightDecay: 0.1 }),
    formula: () => sgdFormula(0.8, true, 0.1),
  },
  {
    name: "lion",
    make: (module, options) => lion(module, { ...options, betas: [0.8, 0.95], weightDecay: 0.3 }),
    formula: () => lionFormula([0.8, 0.95], 0.3),
  },
  {
    name: "adamW",
    make: (module, options) => adamW(module, { ...options, betas: [0.8, 0.99], epsilon: 1e-4, weightDecay: 0.3 }),
    formula: () => adamFormula([0.8, 0.99], 1e-4, 0.3),
  },
  {
    name: "muon",
    make: (module, options) => muon(module, { ...options, betas: [0.8, 0.99], epsilon: 1e-4, weightDecay: 0.3 }),
    formula: (parameter) =>
      ["wide", "tall"].includes(parameter)
        ? muonFormula(0.95, true, 0.3, SHAPES[parameter].at(-1) ?? 0)
        : adamFormula([0.8, 0.99], 1e-4, 0.3),
  },
  {
    name: "muon without Nesterov's look ahead",
    make: (module, options) => muon(module, { ...options, momentum: 0.7, nesterov: false }),
    formula: (parameter) =>
      ["wide", "tall"].includes(parameter)
        ? muonFormula(0.7, false, 0, SHAPES[parameter].at(-1) ?? 0)
        : adamFormula([0.9, 0.999], 1e-8, 0),
  },
];

const lr = (step: number) => RATES[step];

function moduleOn(backend: Backend): Record<string, Tensor> {
  const made = Object.entries(SHAPES).map(([name, shape]) => [name, tensor(start(name), { backend, shape })] as const);
  return Object.fromEntries(made.map(([name, value]) => [name, name === "first" ? edge(value) : value]));
}

function gradientsOn(backend: Backend, t: number): Tensor[] {
  return Object.entries(SHAPES).map(([name, shape]) => tensor(gradient(name, t), { backend, shape }));
}

const valuesOf = async (tensors: Iterable<Tensor>) =>
  Promise.all([...tensors].map(async (t) => Array.from(await t.data())));

/** The gradient scaled as clipNorm does over all parameters. */
function clipped(t: number, clipNorm: number): Record<string, Numbers> {
  const all = Object.fromEntries(Object.keys(SHAPES).map((name) => [name, gradient(name, t)]));
  const norm = Math.hypot(...Object.values(all).flat());
  const scale = Math.min(1, clipNorm / (norm + 1e-12));
  return Object.fromEntries(Object.entries(all).map(([name, g]) => [name, g.map((x) => x * scale)]));
}

function expected({ formula }: (typeof cases)[number], clipNorm: number): Numbers[] {
  const names = Object.keys(SHAPES);
  const formulas = names.map(formula);
  let values = names.map(start);
  for (const [k, rate] of RATES.entries()) {
    const g = clipped(k + 1, clipNorm);
    values = values.map((p, n) => formulas[n](p, g[names[n]], rate, k + 1));
  }
  return values;
}

/** Parameters of some steps by given gradients. */
async function trained({ make }: (typeof cases)[number], backend: Backend, options: Partial<OptimizerOptions> = {}) {
  const module = moduleOn(backend);
  const optimizer = make(module, { lr, ...options });
  for (let t = 1; t <= RATES.length; t++) optimizer.step(gradientsOn(backend, t));
  return valuesOf(Object.values(module));
}

function largest(a: readonly Numbers[], b: readonly Numbers[]): number {
  return Math.max(...a.flatMap((row, r) => row.map((x, i) => Math.abs(x - b[r][i]))));
}

describe.each(cases)("$name", (optimizer) => {
  test("is its formula in float64; clipped, and with loss scaling too", async () => {
    const backend = cpu({ precision: "float64" });
    expect(largest(await trained(optimizer, backend), expected(optimizer, Infinity))).toBeLessThan(1e-12);
    const wanted = expected(optimizer, 1.5);
    expect(largest(await trained(optimizer, backend, { clipNorm: 1.5 }), wanted)).toBeLessThan(1e-9);
    const scaled = { clipNorm: 1.5, lossScaling: { initial: 1 } };
    expect(largest(await trained(optimizer, backend, scaled), wanted)).toBeLessThan(1e-9);
  });

  describe.each(openers)("on $name", ({ open, skip }) => {
    test.skipIf(skip)("is its formula, and goes on with the same bits from a saved state", async () => {
      const backend = await open();
      const found = await trained(optimizer, backend);
      // Six steps in float32. Five iterations multiply rounding by up to 3.4⁵ = 480; the others by little.
      const tolerance = optimizer.name.startsWith("muon") ? 480 * 2 ** -22 : 2 ** -20;
      expect(largest(found, expected(optimizer, Infinity))).toBeLessThan(tolerance);
      const module = moduleOn(backend);
      const begun = optimizer.make(module, { lr });
      for (const t of [1, 2, 3]) begun.step(gradientsOn(backend, t));
      const resumed = optimizer.make(module, { lr });
      resumed.load(begun.state(), begun.steps);
      for (const t of [4, 5, 6]) resumed.step(gradientsOn(backend, t));
      expect(await valuesOf(Object.values(module))).toEqual(found);
      backend.dispose();
    });

    test.skipIf(skip)("skips a gradient that is not finite, and keeps what it keeps", async () => {
      const backend = await open();
      const module = moduleOn(backend);
      const made = optimizer.make(module, { lr: 0.1, lossScaling: { initial: 8 } });
      made.step(gradientsOn(backend, 1));
      const all = () => valuesOf([...Object.values(module), ...[...made.state().values()].slice(0, -1)]);
      const before = await all();
      made.step(gradientsOn(backend, 2).map((g) => g.mul(Number.NaN)));
      expect(await all()).toEqual(before);
      made.step(gradientsOn(backend, 2));
      expect(await all()).not.toEqual(before);
      backend.dispose();
    });
  });

  test("minimizes, takes new rates, and a wrong one is refused at its step with its name", () => {
    const backend = cpu();
    const module = moduleOn(backend);
    const rate = (step: number) => (step < 3 ? 0.01 : Number.NaN);
    const made = optimizer.make(module, { lr: rate });
    const loss = () => Object.values(module).reduce((sum, p) => sum.add(p.square().sum()), tensor(0, { backend }));
    for (let k = 0; k < 3; k++) made.minimize(loss);
    const name = optimizer.name.split(" ")[0];
    expect(() => made.minimize(loss)).toThrow(`${name}: lr(3) is NaN, want a finite number ≥ 0`);
    expect(made.steps).toBe(3);
  });

  test.skipIf(!gpuAvailable)("captured on WebGPU has the bits that it has op by op", async () => {
    const runs = [];
    for (const isCaptured of [false, true]) {
      const backend = await webgpu({ capture: isCaptured });
      const module = moduleOn(backend);
      const made = optimizer.make(module, { lr, clipNorm: 1.5 });
      const loss = (x: Tensor) => Object.values(module).reduce((sum, p) => sum.add(p.sub(x).square().sum()), x.sum());
      const step = capture((x: Tensor) => made.minimize(() => loss(x)));
      for (let k = 0; k < RATES.length; k++) step(tensor(k, { backend })).dispose();
      if (isCaptured) expect(step.isReplaying).toBe(true);
      runs.push(await valuesOf([...Object.values(module), ...made.state().values()]));
      backend.dispose();
    }
    expect(runs[1]).toEqual(runs[0]);
  });
});

test("newtonSchulz brings singular values to about 1, and leaves their vectors", async () => {
  const backend = cpu({ precision: "float64" });
  const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
  // [c, s] and [−s, c] with singular values 3 and 0.5, and a third direction that is 0.
  const matrix = tensor(
    [
      [3 * c, 3 * s, 0],
      [-0.5 * s, 0.5 * c, 0],
    ],
    { backend },
  );
  for (const at of [matrix, matrix.transpose()]) {
    const x = newtonSchulz(at);
    const y = (await (at === matrix ? x : x.transpose()).array()) as number[][];
    const [first, second] = [c * y[0][0] + s * y[0][1], -s * y[1][0] + c * y[1][1]];
    for (const value of [first, second]) expect(Math.abs(value - 0.95)).toBeLessThan(0.27);
    expect(Math.abs(-s * y[0][0] + c * y[0][1])).toBeLessThan(1e-12);
    expect(Math.hypot(y[0][2], y[1][2])).toBe(0);
  }
  expect(await newtonSchulz(tensor([[0, 0]], { backend })).array()).toEqual([[0, 0]]);
});

test("options out of range are refused by name", () => {
  const w = tensor([[1, 2]], { backend: cpu() });
  expect(() => sgd([w], { lr: 1, momentum: 1 })).toThrow("sgd: momentum is 1, want a number in [0, 1)");
  expect(() => sgd([w], { lr: 1, nesterov: true })).toThrow("sgd: nesterov with momentum 0, want a momentum above 0");
  expect(() => sgd([w], { lr: 1, weightDecay: -1 })).toThrow("sgd: weightDecay is -1, want a finite number ≥ 0");
  expect(() => lion([w], { lr: 1, betas: [0.9, 1] })).toThrow("lion: betas[1] is 1, want a number in [0, 1)");
  expect(() => lion([w], { lr: -1 })).toThrow("lion: lr is -1, want");
  expect(() => muon([w], { lr: 1, momentum: Number.NaN })).toThrow("muon: momentum is NaN, want a number in [0, 1)");
  expect(() => muon([w], { lr: 1, epsilon: 0 })).toThrow("muon: epsilon is 0, want a positive number");
  expect(() => newtonSchulz(w.reshape([2]))).toThrow("newtonSchulz: matrix is");
  for (const [name, make] of Object.entries<Make>({ sgd, lion, muon, adamW })) {
    for (const [option, value, shown] of [
      ["lr", "1", '"1"'],
      ["weightDecay", Number.POSITIVE_INFINITY, "Infinity"],
      ["clipNorm", "1", '"1"'],
      ["lossScaling", null, "null"],
      ["lossScaling", "yes", '"yes"'],
    ] as const)
      expect(() => make([w], { lr: 1, [option]: value })).toThrow(`${name}: ${option} is ${shown}, want`);
    const made = make({ layer: { w } }, { lr: 1 });
    expect(() => made.minimize(3 as unknown as () => Tensor)).toThrow(`${name}: loss is 3, want a function`);
    expect(() => made.step(undefined as unknown as Tensor[])).toThrow(`${name}: gradients is undefined, want a list`);
    for (const wrong of [3 as unknown as Tensor, w.reshape([2]), w.cast("int32"), tensor([[1, 2]], { backend: cpu() })])
      expect(() => made.step([wrong])).toThrow(
        new RegExp(`^${name}: gradients\\[0\\] is .*, want float32 \\[1, 2\\] on cpu.*, of layer\\.w \\[1, 2\\]$`),
      );
    expect(made.steps).toBe(0);
  }
  for (const make of [sgd, muon])
    expect(() => make([w], { lr: 1, momentum: 0.9, nesterov: "no" as unknown as boolean })).toThrow(
      'nesterov is "no", want true or false',
    );
});
