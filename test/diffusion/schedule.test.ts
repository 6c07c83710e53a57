// Schedules, the posterior and the spacing of steps, against closed forms.
import { alphaBarAt, cosine, fromBetas, linear, posterior, spacedTimes } from "@pkg/diffusion";
import { expect, test } from "vitest";

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
  expect(() => linear(10, { start: -1 })).toThrow("schedule: β_0 is -1");
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
