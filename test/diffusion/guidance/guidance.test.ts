// Guidance against closed forms: Gaussian classes, whose guided scores are known at every level, and the exact classifier of them.
import {
  ancestral,
  type ClassifierFreeOptions,
  classifierFree,
  classifierGuidance,
  classifierShift,
  convertPrediction,
  ddim,
  discretePath,
  dpmSolverPlusPlus,
  dropLabels,
  dynamicThreshold,
  euler,
  finalSample,
  fixedLarge,
  fixedSmall,
  type LogProbability,
  levelAt,
  linear,
  type Model,
  type NoiseSource,
  type Prediction,
  posterior,
  type Sampler,
  sample,
} from "@pkg/diffusion";
import { parameters, unet } from "@pkg/nn";
import { type Backend, cpu, grad, randomStream, stack, type Tensor, tensor, wasm, webgpu, zeros } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { listOf } from "../../setup/listOf.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

/** Two classes of data, N(mean, variance), and how many of each there are. */
const CLASSES = [
  { mean: -1, variance: 0.25, share: 0.3 },
  { mean: 0.8, variance: 0.5, share: 0.7 },
];

/** log (share_k · p(x_t | k)) of every class, [batch, classes], up to a constant. */
function logJoint(x: Tensor, [t]: readonly number[]): Tensor {
  const { signal, noise } = levelAt(schedule, t);
  const terms = CLASSES.map(({ mean, variance, share }) => {
    const total = signal ** 2 * variance + noise ** 2;
    return x
      .sub(signal * mean)
      .square()
      .mul(-0.5 / total)
      .add(Math.log(share / Math.sqrt(total)));
  });
  return stack(terms, 1);
}

/** The best noise prediction, E[ε | x_t] or E[ε | x_t, y], of data [batch]. */
const oracle: Model = {
  forward(x, times, { labels = listOf(times).map(() => null) } = {}) {
    const { signal, noise } = levelAt(schedule, listOf(times)[0]);
    const each = CLASSES.map(({ mean, variance }) =>
      x.sub(signal * mean).mul(noise / (signal ** 2 * variance + noise ** 2)),
    );
    const known = listOf(labels).map((label) => CLASSES.map((_, k) => (label === k ? 1 : 0)));
    const isKnown = tensor(
      listOf(labels).map((label) => [label === null ? 0 : 1]),
      { backend: x.backend },
    ).cast("bool");
    const weights = isKnown.where(tensor(known, { backend: x.backend }), logJoint(x, listOf(times)).softmax(1));
    return stack(each, 1).mul(weights).sum(1);
  },
};

/** The exact log p(y | x_t). */
const classify: LogProbability = (x, times, labels) =>
  logJoint(x, listOf(times))
    .logSoftmax(1)
    .mul(tensor(Int32Array.from(listOf(labels)), { backend: x.backend }).oneHot(2))
    .sum(1);

const X = tensor(Float64Array.of(-1.7, -0.4, 0.1, 0.9, 2.2), { backend: exact });
const LABELS = [0, 1, 0, 1, 0];
const at = (t: number) => new Array<number>(5).fill(t);

async function expectClose(found: Tensor, wanted: Tensor, digits = 10): Promise<void> {
  expect(found.shape).toEqual(wanted.shape);
  const [a, b] = [await found.data(), await wanted.data()];
  for (const [k, value] of b.entries()) expect(a[k], `element ${k}`).toBeCloseTo(value, digits);
}

describe("classifier-free guidance", () => {
  test("has the score of p(x)^(1 − s) p(x | y)^s at every level", async () => {
    // Both Gaussian: without a label N(0, 2), with one N(±1, 0.25). The product is Gaussian again, of precision Λ and mean μ.
    const gaussians: Model = {
      forward(x, [t]: readonly number[], { labels = [] } = {}) {
        const { signal, noise } = levelAt(schedule, t);
        const parts = listOf(labels).map((label) => (label === null ? [0, 2] : [label === 0 ? -1 : 1, 0.25]));
        const column = (f: (mean: number, variance: number) => number) =>
          tensor(
            Float64Array.from(parts, ([mean, variance]) => f(mean, variance)),
            { backend: exact },
          );
        const slope = column((_, variance) => noise / (signal ** 2 * variance + noise ** 2));
        return x.sub(column((mean) => signal * mean)).mul(slope);
      },
    };
    for (const t of [0, 100, 500, 999]) {
      for (const scale of [0.5, 2, 7.5]) {
        const { signal, noise } = levelAt(schedule, t);
        const [wide, narrow] = [2, 0.25].map((variance) => 1 / (signal ** 2 * variance + noise ** 2));
        const precision = (1 - scale) * wide + scale * narrow;
        const means = LABELS.map((label) => (scale * narrow * signal * (label === 0 ? -1 : 1)) / precision);
        const score = X.sub(tensor(Float64Array.from(means), { backend: exact })).mul(-precision);
        const guided = classifierFree(gaussians, { scale }).forward(X, at(t), { labels: LABELS });
        await expectClose(guided.div(-noise), score, 9);
      }
    }
  });

  test("with scale s is that with weight s − 1, and classifier guidance with the exact classifier", async () => {
    for (const t of [0, 300, 999]) {
      const guided = classifierFree(oracle, { scale: 3 }).forward(X, at(t), { labels: LABELS });
      await expectClose(classifierFree(oracle, { weight: 2 }).forward(X, at(t), { labels: LABELS }), guided, 15);
      const classified = classifierGuidance(oracle, classify, { levels: schedule, scale: 3 });
      await expectClose(classified.forward(X, at(t), { labels: LABELS }), guided, 9);
    }
  });

  test("of every kind of prediction is the same guidance, and so is the classifier's", async () => {
    const kinds: Prediction[] = ["noise", "data", "velocity", "score", "mean"];
    for (const t of [1, 400, 999]) {
      const wanted = classifierFree(oracle, { scale: 4 }).forward(X, at(t), { labels: LABELS });
      for (const kind of kinds) {
        const model: Model = {
          forward: (x, times, conditioning) =>
            convertPrediction(schedule, oracle.forward(x, times, conditioning), {
              from: "noise",
              to: kind,
              x,
              times,
            }),
        };
        for (const guided of [
          classifierFree(model, { scale: 4 }),
          classifierGuidance(model, classify, { levels: schedule, scale: 4, prediction: kind }),
        ]) {
          const found = guided.forward(X, at(t), { labels: LABELS });
          const noise = convertPrediction(schedule, found, { from: kind, to: "noise", x: X, times: at(t) });
          await expectClose(noise, wanted, 7); // x₀ → ε at t = 1 divides by a noise of 0.014
        }
      }
    }
  });

  test("asks once with twice the batch, and only for what it needs", () => {
    const calls: (readonly (number | null)[] | undefined)[] = [];
    const watched: Model = {
      forward: (x, times, conditioning) => {
        expect(times).toHaveLength(x.shape[0]);
        calls.push(listOf(conditioning?.labels ?? []));
        return x;
      },
    };
    const ask = (options: ClassifierFreeOptions, t = 5) =>
      classifierFree(watched, options).forward(X, at(t), { labels: LABELS });
    const nobody = LABELS.map(() => null);
    ask({ scale: 3 });
    ask({ scale: 1 });
    ask({ scale: 0 });
    ask({ weight: 0 });
    ask({ weight: -1 });
    ask({ scale: 3, interval: [6, 9] });
    ask({ scale: 3, interval: [5, 5] });
    const both = [...LABELS, ...nobody];
    expect(calls).toEqual([both, LABELS, nobody, LABELS, nobody, LABELS, both]);
  });

  test("outside of its interval is the conditional prediction, bit for bit, each sample by its own time", async () => {
    const guided = classifierFree(oracle, { scale: 5, rescale: 0.7, interval: [100, 600] });
    const bits = async (model: Model, t: number) => (await model.forward(X, at(t), { labels: LABELS })).data();
    for (const t of [99, 601]) expect(await bits(guided, t)).toEqual(await bits(oracle, t));
    for (const t of [100, 600]) expect(await bits(guided, t)).not.toEqual(await bits(oracle, t));
    const rows = tensor([[1], [2]], { backend: exact });
    const shifted: Model = {
      forward: (x, times, { labels = [] } = {}) =>
        x.add(
          tensor(
            listOf(labels).map((label, k) => [label === null ? 0 : listOf(times)[k]]),
            { backend: exact },
          ),
        ),
    };
    const mixed = classifierFree(shifted, { scale: 3, interval: [0, 10] }).forward(rows, [10, 11], { labels: [1, 1] });
    expect(await mixed.array()).toEqual([[1 + 30], [2 + 11]]);
  });

  test("rescaled fully has the conditional prediction's standard deviation in each sample", async () => {
    const wide = randomStream(3).normal([4, 3, 5], { backend: exact });
    const model: Model = {
      forward: (x, times, { labels = [] } = {}) => {
        const slopes = listOf(labels).map((label, k) => [[label === null ? 0.2 * k - 1 : 1 + listOf(times)[k] / 10]]);
        return x.mul(tensor(slopes, { backend: exact })).add(x.square().mul(0.1));
      },
    };
    const call = [wide, [1, 2, 3, 4], { labels: [0, 0, 0, 0] }] as const;
    const conditional = model.forward(...call);
    const guided = (rescale: number) => classifierFree(model, { scale: 4, rescale }).forward(...call);
    const spread = (x: Tensor) => x.std([1, 2], { keepAxes: true });
    await expectClose(spread(guided(1)), spread(conditional), 12);
    const ratio = spread(conditional).div(spread(guided(0)));
    await expectClose(guided(0.7), guided(0).mul(ratio.mul(0.7).add(0.3)), 12);
    await expectClose(classifierFree(model, { scale: 1, rescale: 0.7 }).forward(...call), conditional, 15);
    const flat: Model = { forward: (x, _, { labels = [] } = {}) => x.mul(0).add(listOf(labels).length) };
    expect(
      await classifierFree(flat, { scale: 3, rescale: 1 })
        .forward(...call)
        .mean()
        .item(),
    ).toBe(8);
  });

  test("is differentiable, twice, by data and by weights", async () => {
    const a = tensor(Float64Array.of(0.7), { backend: exact });
    const cubic: Model & { a: Tensor } = {
      a,
      forward: (x, _, { labels = [] } = {}) => {
        const factors = listOf(labels).map((label) => (label === null ? 1 : 2));
        const column = tensor(factors, { backend: exact, shape: [factors.length, ...x.shape.slice(1).fill(1)] });
        return x.mul(x).mul(x).mul(a).mul(column);
      },
    };
    // 2 a x³ + w (2 a x³ − a x³) = (2 + w) a x³
    const value = (x: Tensor) => classifierFree(cubic, { weight: 3 }).forward(x, at(1), { labels: LABELS }).sum();
    const [first, byWeight] = grad(() => value(X), [X, a]);
    await expectClose(first, X.square().mul(3 * 5 * 0.7), 12);
    await expectClose(byWeight, X.square().mul(X).sum().mul(5).reshape([1]), 12);
    const [second] = grad((x) => grad(value, [x])[0].sum(), [X]);
    await expectClose(second, X.mul(6 * 5 * 0.7), 12);
    const rescaled = classifierFree(cubic, { weight: 3, rescale: 0.5 });
    const rows = X.reshape([1, 5]);
    const total = (x: Tensor) =>
      rescaled
        .forward(x, [1], { labels: [0] })
        .square()
        .sum();
    const h = 1e-5;
    const [slope] = grad(total, [rows]);
    const bump = tensor(Float64Array.of(h, 0, 0, 0, 0), { backend: exact, shape: [1, 5] });
    const difference = ((await total(rows.add(bump)).item()) - (await total(rows.sub(bump)).item())) / (2 * h);
    // A central difference errs by h² f‴ / 6: some 1e-7 here.
    expect((await slope.data())[0] / difference).toBeCloseTo(1, 7);
  });

  test("leaves the channels of learned variances conditional", async () => {
    const model: Model = {
      forward: (x, _, { labels = [] } = {}) =>
        stack([x, x.mul(10)], -1)
          .reshape([...x.shape.slice(0, -1), 2 * x.shape[x.rank - 1]])
          .mul(
            tensor(
              listOf(labels).map((label) => [label === null ? 1 : 2]),
              { backend: exact },
            ),
          ),
    };
    const x = tensor([[1, 2]], { backend: exact });
    const guided = classifierFree(model, { scale: 3 }).forward(x, [0], { labels: [0] });
    expect(await guided.array()).toEqual([[1 + 3 * (2 - 1), 10 + 3 * (20 - 10), 4, 40]]);
    const classified = classifierGuidance(model, (x) => x.sum(1), { levels: schedule, conditional: true });
    const [[first, second, ...rest]] = (await classified.forward(x, [9], { labels: [0] }).array()) as number[][];
    const { noise } = levelAt(schedule, 9);
    expect(first).toBeCloseTo(2 - noise, 12);
    expect(second).toBeCloseTo(20 - noise, 12);
    expect(rest).toEqual([4, 40]);
  });

  test("refuses calls without labels and strengths that are none", () => {
    const model = classifierFree(oracle, { scale: 2 });
    expect(() => model.forward(X, at(1))).toThrow("classifierFree: no labels in the call, want one per sample");
    expect(() => model.forward(X, at(1), { labels: [0] })).toThrow("classifierFree: 1 labels for a batch of 5");
    expect(() => classifierFree(oracle, { scale: Number.NaN })).toThrow("scale is NaN, want a finite number");
    expect(() => classifierFree(oracle, { weight: Number.POSITIVE_INFINITY })).toThrow("weight is Infinity");
    expect(() => classifierFree(oracle, {} as ClassifierFreeOptions)).toThrow("neither scale nor weight, want one");
    const both = { scale: 2, weight: 1 } as unknown as ClassifierFreeOptions;
    expect(() => classifierFree(oracle, both)).toThrow("scale 2 and weight 1, want one of them");
    expect(() => classifierFree(oracle, { scale: 2, rescale: 1.5 })).toThrow("rescale is 1.5, want it in [0, 1]");
    expect(() => classifierFree(oracle, { scale: 2, interval: [5, 1] })).toThrow("interval is [5, 1], want rising");
  });
});

test("strong guidance ends at its label when ε̂ follows the clipped x̂₀, and away from it when DDIM keeps the model's own", async () => {
  // Two narrow classes at ±1, told exactly.
  const narrow: Model = {
    forward(x, [t]: readonly number[], { labels = [] } = {}) {
      const { signal, noise } = levelAt(schedule, t);
      const total = signal ** 2 * 0.01 + noise ** 2;
      const side = x.mul(signal / total).tanh(); // E[class | x] of classes that are as likely
      const column = tensor(
        listOf(labels).map((label) => (label === null ? 0 : 2 * label - 1)),
        { backend: x.backend },
      );
      const isNone = column.equal(0);
      return x.sub(isNone.where(side, column).mul(signal)).mul(noise / total);
    },
  };
  const labels = Array.from({ length: 100 }, (_, k) => k % 2);
  const rightBy = async (sampler: Sampler) => {
    const model = classifierFree(narrow, { scale: 6 });
    const run = sample(sampler, model, [100], randomStream(1), { labels, backend: exact });
    const found = await (await finalSample(run)).data();
    return labels.filter((label, k) => Math.sign(found[k]) === 2 * label - 1).length;
  };
  const path = discretePath(schedule, { steps: 20, clip: true });
  for (const sampler of [
    ancestral(discretePath(schedule, { steps: 50, clip: true })),
    ddim(discretePath(schedule, { steps: 20, clip: true })),
    ddim(discretePath(schedule, { steps: 20 })),
    euler(path),
    dpmSolverPlusPlus(path),
  ]) {
    expect(await rightBy(sampler)).toBe(100);
  }
  expect(await rightBy(ddim(discretePath(schedule, { steps: 20, clip: true }), { rederiveNoise: false }))).toBeLessThan(
    50,
  );
});

const backends = [
  { name: "cpu", open: async () => cpu(), skip: false },
  { name: "wasm", open: () => wasm(), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  test.skipIf(skip)(`a U-Net in one guided call gives what it gives in two, on ${name}`, async () => {
    const backend = await open();
    const config = { inChannels: 1, channels: 4, multipliers: [1, 2], blocks: 1, classes: 3 };
    const model = unet(config, { backend, rng: randomStream(1) });
    // Some layers start at zero, where labels make no difference.
    const rng = randomStream(4);
    for (const weight of parameters(model)) weight.assign(rng.normal(weight.shape, { backend, std: 0.3 }));
    const x = randomStream(2).normal([2, 8, 8, 1], { backend });
    const [with_, without] = [[2, 0], null].map((labels) => model.forward(x, [10, 20], { ...(labels && { labels }) }));
    const guided = classifierFree(model, { scale: 3 }).forward(x, [10, 20], { labels: [2, 0] });
    const wanted = without.lerp(with_, 3);
    // float32 sums of some hundred terms of unit size, in another order, tripled
    expect(await guided.sub(wanted).abs().max().item()).toBeLessThan(1e-4);
    expect(await with_.sub(without).abs().max().item()).toBeGreaterThan(1e-2);
    const samples = await finalSample(
      sample(
        ddim(discretePath(schedule, { steps: 2 })),
        classifierFree(model, { scale: 3 }),
        x.shape,
        randomStream(5),
        {
          labels: [1, 2],
        },
      ),
    );
    expect(samples.shape).toEqual([2, 8, 8, 1]);
    expect(samples.backend).toBe(backend);
  });
}

for (const { name, open, skip } of backends) {
  test.skipIf(skip)(`rescaling, thresholds and a classifier give on ${name} what float64 gives`, async () => {
    const values = randomStream(6).host.normal([3, 4, 5], { std: 2 });
    const on = (backend: Backend) => {
      const x = tensor(values, { backend, shape: [3, 4, 5] });
      const model: Model = {
        forward: (x, _, { labels = [] } = {}) =>
          x
            .mul(
              tensor(
                listOf(labels).map((label) => [[label === null ? 0.5 : label]]),
                { backend },
              ),
            )
            .add(x.square().mul(0.1)),
      };
      const slope: LogProbability = (x, _, labels) =>
        x
          .flatten(1)
          .square()
          .mean(1)
          .mul(tensor([...listOf(labels)], { backend }))
          .neg();
      const call = [x, [10, 400, 999], { labels: [1, 2, 3] }] as const;
      return [
        classifierFree(model, { scale: 3, rescale: 0.7, interval: [100, 999] }).forward(...call),
        classifierGuidance(model, slope, { levels: schedule, scale: 2, conditional: true }).forward(...call),
        dynamicThreshold({ quantile: 0.9, max: 3 })(x),
      ];
    };
    const backend = await open();
    for (const [k, found] of on(backend).entries()) {
      const wanted = await on(exact)[k].data();
      // A dozen float32 roundings of numbers up to 20.
      for (const [i, value] of (await found.data()).entries())
        expect(Math.abs(value - wanted[i])).toBeLessThan(12 * 20 * 2 ** -24);
    }
  });
}

describe("classifier guidance", () => {
  const silent: NoiseSource = { normal: (shape) => zeros(shape, { backend: exact }) };
  const slope: LogProbability = (x, _, labels) => x.mul(tensor([...listOf(labels)], { backend: exact })).add(5);
  const halved: Model = { forward: (x) => x.mul(0.5) };

  test.each([
    ["small variances, of nothing in the last step", fixedSmall({ first: "clamp" })],
    ["large variances, of β̃ of the step before in the last", fixedLarge()],
  ])("moves the mean of each ancestral step by γ Σ ∇ log p: %s", async (name, variance) => {
    // ∇ log p is the label itself, everywhere: a step is a x + b with a of the unguided chain.
    const gamma = 1.5;
    let wanted = LABELS.map((_, k) => k + 1);
    for (let t = 999; t >= 0; t--) {
      const { signal, noise } = levelAt(schedule, t);
      const q = posterior(schedule, t);
      const factor = (q.fromData * (1 - 0.5 * noise)) / signal + q.fromNoisy;
      const large = t === 0 ? posterior(schedule, 1).variance : q.beta;
      const sigma2 = name.startsWith("small") ? q.variance : large;
      wanted = wanted.map((x, k) => factor * x + gamma * sigma2 * LABELS[k]);
    }
    const start = tensor(Float64Array.of(1, 2, 3, 4, 5), { backend: exact });
    for (const at of ["x", "mean"] as const) {
      const sampler = ancestral(discretePath(schedule), {
        variance,
        shift: classifierShift(slope, { scale: gamma, at }),
      });
      const run = sample(sampler, halved, [5], silent, { labels: LABELS, from: { x: start } });
      const found = await (await finalSample(run)).data();
      for (const [k, value] of wanted.entries()) expect(found[k] / value).toBeCloseTo(1, 9);
    }
  });

  test("of the mean looks at x_t, or at μ with the time of the next level; small variances end unguided", async () => {
    const seen: [number, number][] = [];
    const watching: LogProbability = (x, times) => x.square().mul(listOf(times)[0]);
    const shift = (at: "x" | "mean", t: number, next: number, sigma2: number) => {
      const [x, mean, variance] = [3, 2, sigma2].map((value) => tensor(Float64Array.of(value), { backend: exact }));
      const [level, after] = [t, next].map((step) => levelAt(schedule, step));
      return classifierShift(watching, { at, scale: 2 })({ x, mean, level, next: after, variance, labels: [0] }).item();
    };
    seen.push([await shift("x", 7, 6, 0.5), 2 * 0.5 * 2 * 3 * 7]);
    seen.push([await shift("mean", 7, 6, 0.5), 2 * 0.5 * 2 * 2 * 6]);
    seen.push([await shift("mean", 4, -1, 0.5), 2 * 0.5 * 2 * 2 * 4]);
    seen.push([await shift("x", 0, -1, posterior(schedule, 0).variance), 0]);
    for (const [found, wanted] of seen) expect(found).toBeCloseTo(wanted, 12);
  });

  test("takes levels from a function where times are no steps", async () => {
    const level = (sigma: number) => ({ t: sigma, signal: 1, noise: sigma });
    const denoiser = classifierGuidance(halved, slope, { levels: level, prediction: "data", scale: 2 });
    // D + γ σ² ∇ log p
    const wanted = X.mul(0.5).add(tensor(LABELS, { backend: exact }).mul(2 * 9));
    await expectClose(denoiser.forward(X, at(3), { labels: LABELS }), wanted, 12);
  });

  test("is differentiable", async () => {
    const guided = classifierGuidance(oracle, classify, { levels: schedule, scale: 3 });
    const alike = classifierFree(oracle, { scale: 3 });
    const slopeOf = (model: Model) => grad((x) => model.forward(x, at(300), { labels: LABELS }).sum(), [X])[0];
    await expectClose(slopeOf(guided), slopeOf(alike), 8);
  });

  test("refuses what it cannot do, with the reason", () => {
    const options = { levels: schedule };
    const guided = classifierGuidance(halved, slope, options);
    expect(() => guided.forward(X, at(1))).toThrow("classifierGuidance: no labels in the call, want one per sample");
    expect(() => guided.forward(X, at(1), { labels: [0, 1, null, 0, 0] })).toThrow("the label of sample 2 is null");
    expect(() => guided.forward(X, at(1), { labels: [0] })).toThrow("1 labels for a batch of 5, want one per sample");
    expect(() => classifierGuidance(halved, slope, { ...options, scale: Number.NaN })).toThrow("scale is NaN");
    const whole = classifierGuidance(halved, (x) => x.sum(), options);
    expect(() => whole.forward(X, at(1), { labels: LABELS })).toThrow("log p has shape [], want [5], one per sample");
    const nothing = { levels: () => ({ t: 1, signal: 0, noise: 1 }) };
    const data = classifierGuidance(halved, slope, { ...nothing, prediction: "data" });
    expect(() => data.forward(X, at(1), { labels: LABELS })).toThrow("data at t = 1, where ᾱ is 0");
    expect(() => classifierGuidance(halved, slope, { ...nothing, prediction: "mean" })).toThrow("want a schedule");
  });
});

test("labels are dropped as often as asked for, by the stream", () => {
  const labels = Array.from({ length: 10_000 }, (_, k) => k % 10);
  const dropped = dropLabels(labels, 0.1, randomStream(1));
  const count = dropped.filter((label) => label === null).length;
  // Four standard deviations of a binomial count: √(n p (1 − p)) = 30.
  expect(Math.abs(count - 1000)).toBeLessThan(120);
  expect(dropped.every((label, k) => label === null || label === labels[k])).toBe(true);
  expect(dropLabels(labels, 0.1, randomStream(1))).toEqual(dropped);
  expect(dropLabels([3, null], 0, randomStream(1))).toEqual([3, null]);
  expect(dropLabels([3, null], 1, randomStream(1))).toEqual([null, null]);
  expect(() => dropLabels([3], -0.1, randomStream(1))).toThrow("dropLabels: probability is -0.1, want a number in");
});

describe("dynamic thresholding", () => {
  const data = tensor(
    [
      [0.5, -1, 2, -4, 3],
      [0.5, -0.25, 0, 1, -0.5],
    ],
    { backend: exact },
  );

  test("scales a sample by the quantile of its magnitudes, and leaves those in range", async () => {
    // Magnitudes 0.5, 1, 2, 3, 4: the 0.75-quantile is 3.
    const found = await dynamicThreshold({ quantile: 0.75 })(data).array();
    expect(found).toEqual([[0.5 / 3, -1 / 3, 2 / 3, -1, 1], ((await data.array()) as number[][])[1]]);
  });

  test("up to max; with max 1 it is the plain clip", async () => {
    expect(await dynamicThreshold({ quantile: 0.75, max: 2 })(data).slice(0).array()).toEqual([0.25, -0.5, 1, -1, 1]);
    await expectClose(dynamicThreshold({ max: 1 })(data), data.clamp(-1, 1), 15);
  });

  test("is a sampler's clip", async () => {
    const wild: Model = { forward: (x) => x.mul(-3) };
    const run = sample(
      ddim(discretePath(schedule, { steps: 3, clip: dynamicThreshold() })),
      wild,
      [2, 8],
      randomStream(1),
      {
        backend: exact,
      },
    );
    for await (const { denoised } of run) expect(await denoised.abs().max().item()).toBeLessThanOrEqual(1 + 1e-12);
  });

  test("refuses quantiles and bounds that are none", () => {
    expect(() => dynamicThreshold({ quantile: 1.1 })).toThrow("quantile is 1.1, want a number in [0, 1]");
    expect(() => dynamicThreshold({ max: 0.5 })).toThrow("max is 0.5, want a number from 1 on");
  });
});
