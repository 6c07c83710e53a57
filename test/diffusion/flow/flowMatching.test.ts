// Flow matching: its target, its closed forms on a Gaussian, and what is refused.
import {
  cosine,
  flowMatching,
  gaussianOracle,
  type Interpolant,
  linearInterpolant,
  type Model,
  oracleModel,
  type TimeLaw,
  vpInterpolant,
} from "@pkg/diffusion";
import { cpu, grad, jvp, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const INTERPOLANTS = { linear: linearInterpolant(), "variance-preserving": vpInterpolant() };
const x0 = randomStream(1).normal([4, 3], { backend });
const noise = randomStream(2).normal([4, 3], { backend });
const TIMES = [0.1, 0.5, 0.8, 1];

/** A model that says what it was asked, and answers with zeros. */
function spy(): Model & { readonly asked: { x: Tensor; times: Tensor }[] } {
  const asked: { x: Tensor; times: Tensor }[] = [];
  return {
    asked,
    forward(x, times) {
      asked.push({ x, times: times as Tensor }); // what the loss gives
      return x.mul(0);
    },
  };
}

describe.each(Object.entries(INTERPOLANTS))("on the %s interpolant", (_, interpolant) => {
  test("rates are the derivatives of signal and noise, and the time of σ is found again", () => {
    for (const t of [0.05, 0.3, 0.77, 0.999]) {
      const h = 1e-6;
      const [before, here, after] = [t - h, t, t + h].map((time) => interpolant.level(time));
      for (const part of ["signal", "noise"] as const)
        expect((after[part] - before[part]) / (2 * h)).toBeCloseTo(here.rates[part], 6);
      expect(interpolant.time(here.noise / here.signal)).toBeCloseTo(t, 12);
    }
    expect(interpolant.level(1)).toMatchObject({ signal: 0, noise: 1 });
    expect(interpolant.level(0)).toMatchObject({ signal: 1, noise: 0 });
    expect(interpolant.time(Number.POSITIVE_INFINITY)).toBe(1);
    expect(() => interpolant.level(1.5)).toThrow(/Interpolant: t is 1.5, want a number in \[0, 1\]/);
  });

  test("a tensor of times has the levels of a list, and their derivatives", async () => {
    const times = tensor([0.2, 0.9], { backend });
    const found = interpolant.tensors?.(times);
    const levels = [0.2, 0.9].map((t) => interpolant.level(t));
    const slope = (part: "signal" | "noise") =>
      jvp((t) => interpolant.tensors?.(t)[part].mul(1) ?? t, [times], [times.affine(0, 1)]).tangent;
    for (const part of ["signal", "noise"] as const) {
      const [values, rates, slopes] = await Promise.all(
        [found?.[part], found?.rates[part], slope(part)].map((value) => value?.data()),
      );
      for (const k of [0, 1]) {
        expect(values?.[k]).toBeCloseTo(levels[k][part], 12);
        expect(rates?.[k]).toBeCloseTo(levels[k].rates[part], 12);
        expect(slopes?.[k]).toBeCloseTo(levels[k].rates[part], 12);
      }
    }
  });

  test("the model is asked at α x₀ + σ ε, and should say α′ x₀ + σ′ ε, for a list and a tensor of times", async () => {
    for (const times of [TIMES, tensor(TIMES, { backend })]) {
      const model = spy();
      const loss = flowMatching(model, x0, randomStream(0), { interpolant, times, noise });
      const [xs, data, eps, asked] = await Promise.all(
        [model.asked[0].x, x0, noise, model.asked[0].times].map((value) => value.data()),
      );
      expect([...asked].map((t) => Math.fround(t))).toEqual(TIMES.map(Math.fround));
      let total = 0;
      for (const [i, x] of [...xs].entries()) {
        const { signal, noise: size, rates } = interpolant.level(TIMES[Math.floor(i / 3)]);
        expect(x).toBeCloseTo(signal * data[i] + size * eps[i], 12);
        total += (rates.signal * data[i] + rates.noise * eps[i]) ** 2 / 12;
      }
      expect(await loss.item()).toBeCloseTo(total, 12);
    }
  });

  test("the loss of the exact velocity of N(0, s²) is the variance that x_t leaves it, and no model's is less", async () => {
    // Var(α′ x₀ + σ′ ε | x_t) = (α′ σ − σ′ α)² s² / (α² s² + σ²)
    const variance = 0.25;
    const oracle = gaussianOracle({ mean: [0], variance });
    const data = oracle.sample(40_000, randomStream(3), { backend });
    const t = 0.4;
    const { signal, noise: size, rates } = interpolant.level(t);
    const wanted =
      ((rates.signal * size - rates.noise * signal) ** 2 * variance) / (signal ** 2 * variance + size ** 2);
    const times = new Array<number>(40_000).fill(t);
    const at = (model: Model) => flowMatching(model, data, randomStream(4), { interpolant, times }).item();
    const best = oracleModel(oracle, interpolant, "flow");
    expect(Math.abs((await at(best)) / wanted - 1)).toBeLessThan(5 * Math.sqrt(2 / 40_000));
    for (const factor of [0.9, 1.1]) {
      const worse: Model = { forward: (x, at) => best.forward(x, at).mul(factor) };
      expect(await at(worse)).toBeGreaterThan(await at(best));
    }
  });
});

test.each(["noise", "data", "velocity"] as const)("a model that predicts %s exactly has no loss", async (kind) => {
  const { signal, noise: size } = linearInterpolant().level(0.3);
  const model: Model = {
    forward: (x) => {
      if (kind === "noise") return x.sub(x0.mul(signal)).div(size);
      if (kind === "data") return x.sub(noise.mul(size)).div(signal);
      return noise.mul(signal).sub(x0.mul(size)).div(Math.hypot(signal, size));
    },
  };
  const loss = flowMatching(model, x0, randomStream(0), { times: [0.3, 0.3, 0.3, 0.3], noise, prediction: kind });
  expect(await loss.item()).toBeLessThan(1e-20);
});

test("the oracle's velocity can be differentiated by a tensor of times", async () => {
  const oracle = gaussianOracle({ mean: [0.3], variance: 0.5 });
  const model = oracleModel(oracle, linearInterpolant(), "flow");
  const x = tensor([[0.7], [-1]], { backend });
  const at = (t: number) => model.forward(x, [t, t]).data();
  const [slope] = grad((t: Tensor) => model.forward(x, t).sum(), [tensor([0.4, 0.4], { backend })]);
  const [low, high] = [await at(0.4 - 1e-5), await at(0.4 + 1e-5)];
  for (const [i, value] of [...(await slope.data())].entries()) expect(value).toBeCloseTo((high[i] - low[i]) / 2e-5, 6);
});

test("times are drawn by the law, weights multiply each sample's error, and both are reported", async () => {
  const law: TimeLaw = { draw: () => Float32Array.of(0.25, 0.5, 0.75, 1), density: () => 1 };
  const seen: { times: ArrayLike<number>; losses: ArrayLike<number> }[] = [];
  const model = spy();
  const reports: Promise<void>[] = [];
  const loss = flowMatching(model, x0, randomStream(0), {
    law,
    noise,
    weight: (t) => 4 * t,
    report: ({ times, losses }) => {
      reports.push(
        Promise.all([times.data(), losses.data()]).then(([t, l]) => void seen.push({ times: t, losses: l })),
      );
    },
  });
  await Promise.all(reports);
  expect(Array.from(seen[0].times)).toEqual([0.25, 0.5, 0.75, 1]);
  const weighted = Array.from(seen[0].losses).reduce((sum, each, k) => sum + (k + 1) * each, 0) / 4;
  expect(await loss.item()).toBeCloseTo(weighted, 12);
});

test("what does not fit is refused by name, before any work", () => {
  const ask = (options: object) => () => flowMatching(spy(), x0, randomStream(0), options);
  expect(ask({ times: [0, 1, 2, 0] })).toThrow("flowMatching: times[2] is 2, want numbers in [0, 1]");
  expect(ask({ times: [0, 1] })).toThrow("flowMatching: 2 times for a batch of 4, want one per sample");
  expect(ask({ times: TIMES, law: { draw: () => 0, density: () => 1 } })).toThrow("both times and law are given");
  expect(ask({ law: cosine(10) })).toThrow("flowMatching: law is a schedule, want a law of times");
  expect(ask({ interpolant: "linear" })).toThrow('flowMatching: interpolant is "linear", want an interpolant');
  expect(ask({ prediction: "mean" })).toThrow('flowMatching: prediction is "mean", want noise, data, velocity, flow');
  expect(ask({ weight: () => -1 })).toThrow(/flowMatching: the weight of t = 0\.\d+ is -1, want a finite number/);
  const times = tensor(TIMES, { backend });
  expect(ask({ times, weight: () => 1 })).toThrow("weight a function of numbers, want a list of times");
  const own: Interpolant = { level: linearInterpolant().level, time: linearInterpolant().time };
  expect(ask({ times, interpolant: own })).toThrow("for an interpolant without tensors, want a list of numbers");
  expect(ask({ report: 5 })).toThrow("flowMatching: report is 5, want a function");
  const drawing = (...drawn: number[]) => ({ law: { draw: () => Float32Array.from(drawn), density: () => 1 } });
  expect(ask(drawing(0, 1, 2, 0))).toThrow("flowMatching: the law draws 2, want numbers in [0, 1]");
  expect(ask(drawing(0, 1, Number.NaN, 0))).toThrow("flowMatching: the law draws NaN, want numbers in [0, 1]");
  expect(ask(drawing(0, 1))).toThrow("flowMatching: 2 times of the law for a batch of 4, want one per sample");
  expect(() => linearInterpolant().level("0.5" as never)).toThrow("linearInterpolant: t is 0.5, want a number");
  expect(ask({ noise: noise.slice([0, 2]) })).toThrow("flowMatching: noise is [2,3] for x [4,3], want x's shape");
});
