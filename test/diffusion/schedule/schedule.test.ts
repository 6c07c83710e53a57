// Schedules, the posterior and the spacing of steps, against closed forms.
import {
  alphaBarAt,
  constant,
  cosine,
  fromAlphaBars,
  fromBetas,
  gammaAt,
  linear,
  logSnrAt,
  noiseVarianceAt,
  posterior,
  posteriorLogVariance,
  quadratic,
  respace,
  type Schedule,
  scaledLinear,
  sigmoid,
  snrAt,
  spacedTimes,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import fc from "fast-check";
import { describe, expect, test } from "vitest";

const EVERY: [string, () => Schedule][] = [
  ["linear", () => linear()],
  ["quadratic", () => quadratic()],
  ["scaledLinear", () => scaledLinear()],
  ["cosine", () => cosine()],
  ["sigmoid", () => sigmoid()],
  ["constant", () => constant()],
  ["linear in float32", () => linear(1000, { precision: "float32" })],
  ["cosine in float32", () => cosine(1000, { precision: "float32" })],
  ["zeroTerminalSnr", () => zeroTerminalSnr(linear())],
  ["respaced", () => respace(linear(), spacedTimes(1000, 50))],
  ["of one step", () => constant(1, 0.5)],
];

describe.each(EVERY)("the tables of %s", (_, make) => {
  const schedule = make();
  // Each number has a few roundings: 2⁻⁵² of it in float64, 2⁻²⁴ of 1 in float32.
  const rounding = Math.fround(schedule.alphaBars[0]) === schedule.alphaBars[0] ? 2 ** -22 : 1e-12;

  test("are those of one process: β in (0, 1], ᾱ its products, and 1 − ᾱ", () => {
    for (let t = 0; t < schedule.steps; t++) {
      expect(schedule.betas[t]).toBeGreaterThan(0);
      expect(schedule.betas[t]).toBeLessThanOrEqual(1);
      expect(Math.abs(alphaBarAt(schedule, t - 1) * (1 - schedule.betas[t]) - schedule.alphaBars[t])).toBeLessThan(
        rounding,
      );
      expect(Math.abs(schedule.noiseVariances[t] + schedule.alphaBars[t] - 1)).toBeLessThan(rounding);
    }
  });

  test("have a signal-to-noise ratio that falls from infinity, and no NaN", () => {
    const ratios = Array.from({ length: schedule.steps + 1 }, (_, k) => snrAt(schedule, k - 1));
    expect(ratios[0]).toBe(Number.POSITIVE_INFINITY);
    for (let k = 1; k < ratios.length; k++) {
      expect(ratios[k]).toBeLessThan(ratios[k - 1]);
      expect(logSnrAt(schedule, k - 1)).toBeCloseTo(Math.log(ratios[k]), 6);
      expect(gammaAt(schedule, k - 1)).toBe(-logSnrAt(schedule, k - 1));
      expect(Number.isFinite(posteriorLogVariance(schedule, k - 1))).toBe(true);
    }
  });
});

test("log SNR is infinite at both ends: before the first step, and where there is no signal", () => {
  const schedule = zeroTerminalSnr(linear());
  expect([snrAt(schedule, 999), logSnrAt(schedule, 999), gammaAt(schedule, 999)]).toEqual([
    0,
    Number.NEGATIVE_INFINITY,
    Number.POSITIVE_INFINITY,
  ]);
  expect([logSnrAt(schedule, -1), gammaAt(schedule, -1)]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
});

test("quadratic and scaledLinear are one formula: √β in equal steps", () => {
  for (const [schedule, start, end] of [
    [quadratic(101), 1e-4, 0.02],
    [scaledLinear(101), 0.00085, 0.012],
  ] as const) {
    expect(schedule.betas[0]).toBeCloseTo(start, 15);
    expect(schedule.betas[50]).toBeCloseTo(((Math.sqrt(start) + Math.sqrt(end)) / 2) ** 2, 15);
    expect(schedule.betas[100]).toBeCloseTo(end, 15);
  }
});

test("a schedule is known by its ᾱ as by its β", () => {
  const schedule = fromAlphaBars(linear(1000).alphaBars);
  expect([...schedule.alphaBars]).toEqual([...linear(1000).alphaBars]);
  for (const [t, beta] of linear(1000).betas.entries()) expect(schedule.betas[t]).toBeCloseTo(beta, 12);
  expect(fromAlphaBars([0.5, 0]).betas[1]).toBe(1);
  expect(() => fromAlphaBars([0.5, 0.5])).toThrow("schedule: ᾱ_1 is 0.5 after 0.5, want falling numbers in [0, 1)");
  expect(() => fromAlphaBars([1])).toThrow("schedule: ᾱ_0 is 1 after 1");
  expect(() => fromAlphaBars([0.5, -0.1])).toThrow("schedule: ᾱ_1 is -0.1");
  expect(() => fromAlphaBars([Number.NaN])).toThrow("schedule: ᾱ_0 is NaN");
});

describe("float32 tables", () => {
  const schedule = linear(1000, { precision: "float32" });

  test("hold float32 numbers alone, within half a unit of the products of float32 1 − β", () => {
    let product = 1;
    for (let t = 0; t < 1000; t++) {
      product *= Math.fround(1 - schedule.betas[t]);
      for (const table of [schedule.betas, schedule.alphaBars, schedule.noiseVariances]) {
        expect(table[t]).toBe(Math.fround(table[t]));
      }
      expect(Math.abs(schedule.alphaBars[t] / product - 1)).toBeLessThanOrEqual(2 ** -24);
    }
  });

  test("lose what 1 − ᾱ_1 has in float64: 1.7e-4 of it", () => {
    expect(schedule.noiseVariances[0] / 1e-4 - 1).toBeCloseTo(1.66e-4, 6);
  });

  test("that would hold no noise are refused", () => {
    expect(() => constant(3, 1e-9, { precision: "float32" })).toThrow(
      "schedule: β_0 is 1e-9, which leaves no noise in float32: want larger ones, or float64",
    );
    expect(noiseVarianceAt(constant(3, 1e-9), 0)).toBe(1e-9);
  });
});

describe("respacing", () => {
  const schedule = cosine(1000);
  const respaced = respace(schedule, spacedTimes(1000, 10, "trailing"));

  test("keeps ᾱ, and takes β from the jump", () => {
    expect(respaced.pairs[0]).toEqual([99, -1]);
    expect(respaced.pairs[9]).toEqual([999, 899]);
    for (const [k, [t, to]] of respaced.pairs.entries()) {
      expect(alphaBarAt(respaced, k)).toBe(alphaBarAt(schedule, t));
      expect(posterior(respaced, k)).toEqual(posterior(schedule, t, to));
    }
  });

  test("of all steps is the schedule", () => {
    const all = respace(schedule, spacedTimes(1000, 1000));
    expect([...all.betas]).toEqual([...schedule.betas]);
    expect([...all.noiseVariances]).toEqual([...schedule.noiseVariances]);
  });

  test("refuses steps that are none, or twice there", () => {
    expect(() => respace(schedule, [])).toThrow("respace: no times, want at least one");
    expect(() => respace(schedule, [3, 5, 3])).toThrow("respace: times has 3 twice, want each step once");
    expect(() => respace(schedule, [3, 1000])).toThrow("schedule: t is 1000, want an integer in [0, 999]");
    expect(() => respace(schedule, [-1])).toThrow("respace: times has −1, which is the data");
  });
});

test("log β̃ of the first step is that of the second, or the clamp that other code has", () => {
  const schedule = linear(1000);
  expect(posteriorLogVariance(schedule, 0)).toBeCloseTo(Math.log(5.45318766e-5), 7);
  expect(posteriorLogVariance(schedule, 1)).toBeCloseTo(Math.log(5.45318766e-5), 7);
  expect(posteriorLogVariance(schedule, 0, -1, { first: "clamp" })).toBeCloseTo(-46.0517, 4);
  expect(posteriorLogVariance(constant(1, 0.3), 0)).toBe(Math.log(0.3));
});

test("the linear schedule of 1,000 steps", () => {
  const schedule = linear(1000);
  expect(schedule.betas[0]).toBe(1e-4);
  expect(schedule.betas[999]).toBeCloseTo(0.02, 15);
  expect(alphaBarAt(schedule, 499)).toBeCloseTo(0.0785872428818, 12);
  expect(alphaBarAt(schedule, 999)).toBeCloseTo(4.03583e-5, 10);
  expect(posterior(schedule, 1).variance).toBeCloseTo(5.45318766e-5, 13);
});

test("the cosine schedule of 1,000 steps", () => {
  const schedule = cosine(1000);
  expect(schedule.betas[0]).toBeCloseTo(4.128422482e-5, 13);
  expect(alphaBarAt(schedule, 499)).toBeCloseTo(0.493843590441, 11);
  expect(posterior(schedule, 1).variance).toBeCloseTo(2.17894961e-5, 12);
  expect(schedule.betas[999]).toBe(0.999);
});

test("before the first step there is no noise, and other steps are refused", () => {
  const schedule = linear(10);
  expect(alphaBarAt(schedule, -1)).toBe(1);
  for (const t of [-2, 10, 0.5, Number.NaN]) {
    expect(() => alphaBarAt(schedule, t)).toThrow(`schedule: t is ${t}, want an integer in [0, 9] (−1 for the data)`);
  }
});

test("bad schedules are refused by the argument's name and value", () => {
  expect(() => fromBetas([0.1, 0, 0.2])).toThrow("schedule: β_1 is 0, want numbers in (0, 1]");
  expect(() => fromBetas([0.1, Number.NaN])).toThrow("schedule: β_1 is NaN");
  expect(() => fromBetas([])).toThrow("fromBetas: 0 steps, want a positive integer");
  expect(() => linear(0)).toThrow("linear: 0 steps");
  expect(() => linear(10, { start: -1 })).toThrow("linear: start is -1");
});

test("of any β in (0, 1] the posterior is finite, and its mean of the mean is the mean of the step it leads to", () => {
  const beta = fc.oneof(fc.double({ min: 1e-14, max: 1, noNaN: true }), fc.constantFrom(1, 1e-14, 1e-4, 0.5));
  fc.assert(
    fc.property(fc.array(beta, { minLength: 1, maxLength: 12 }), (betas) => {
      const schedule = fromBetas(betas);
      for (let t = 0; t < betas.length; t++) {
        for (let to = -1; to < t; to++) {
          const q = posterior(schedule, t, to);
          const alphas = betas.slice(to + 1, t + 1).map((b) => 1 - b);
          const beta = 1 - alphas.reduce((product, alpha) => product * alpha, 1);
          // The products have a rounding a step.
          expect(Math.abs(q.beta - beta)).toBeLessThan(12 * 2 ** -52);
          const [here, there] = [alphaBarAt(schedule, t), alphaBarAt(schedule, to)];
          const mean = q.fromData + q.fromNoisy * Math.sqrt(here);
          expect(Math.abs(mean - Math.sqrt(there))).toBeLessThan(1e-10);
          // Var(fromNoisy x_t + √β̃ z | x₀) is the variance at `to`.
          const variance = q.fromNoisy ** 2 * noiseVarianceAt(schedule, t) + q.variance;
          expect(Math.abs(variance - noiseVarianceAt(schedule, to))).toBeLessThan(1e-10);
          expect(Number.isFinite(posteriorLogVariance(schedule, t, to))).toBe(true);
        }
      }
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("the posterior is Bayes' rule", () => {
  // The product of N(x_to; √ᾱ_to x0, 1 − ᾱ_to) and N(x_t; √α x_to, β) as a function of x_to.
  const schedule = linear(1000);
  for (const [t, to] of [
    [1, 0],
    [500, 499],
    [999, 998],
    [900, 800],
    [500, 0],
  ]) {
    const [here, there] = [alphaBarAt(schedule, t), alphaBarAt(schedule, to)];
    const alpha = here / there;
    const precision = alpha / (1 - alpha) + 1 / (1 - there);
    const q = posterior(schedule, t, to);
    expect(q.variance * precision).toBeCloseTo(1, 10);
    expect(q.fromNoisy * precision).toBeCloseTo(Math.sqrt(alpha) / (1 - alpha), 5);
    expect(q.fromData / (Math.sqrt(there) / (1 - there) / precision)).toBeCloseTo(1, 10);
  }
});

test("the step to the data gives the data, without noise", () => {
  const q = posterior(linear(1000), 0);
  expect(q.fromData).toBeCloseTo(1, 14);
  expect([q.fromNoisy, q.variance]).toEqual([0, 0]);
  expect(() => posterior(linear(10), 3, 3)).toThrow("posterior: from step 3 to 3, want an earlier one");
});

test("steps are spread as asked", () => {
  expect(spacedTimes(1000, 10)).toEqual([900, 800, 700, 600, 500, 400, 300, 200, 100, 0]);
  expect(spacedTimes(1000, 5, "trailing")).toEqual([999, 799, 599, 399, 199]);
  expect(spacedTimes(1000, 5, "linspace")).toEqual([999, 749, 500, 250, 0]);
  expect(spacedTimes(7, 7)).toEqual([6, 5, 4, 3, 2, 1, 0]);
  expect(spacedTimes(5, 1, "linspace")).toEqual([0]);
  expect(() => spacedTimes(10, 11)).toThrow("spacedTimes: 11 steps of a schedule of 10, want an integer in [1, 10]");
});
