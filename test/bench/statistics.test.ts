import { expect, test } from "vitest";
import { quantile, spread } from "../../bench/statistics.ts";

test("the spread of 1 … 11 is known", () => {
  const shuffled = [7, 3, 11, 1, 9, 5, 2, 10, 4, 8, 6];
  // Distances from 6: 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5.
  expect(spread(shuffled)).toEqual({ median: 6, p10: 2, p90: 10, mad: 3, isWide: true });
});

test("quantiles of few samples lie on the line between them", () => {
  expect(quantile([10, 20], 0.5)).toBe(15);
  expect(quantile([10, 20], 0.1)).toBeCloseTo(11, 12);
  expect(quantile([5], 0.9)).toBe(5);
  expect(quantile([1, 2, 100], 1)).toBe(100);
});

test("one outlier moves neither median nor MAD", () => {
  const { median, mad } = spread([10, 11, 9, 10, 1000]);
  expect(median).toBe(10);
  expect(mad).toBe(1);
});

test("times are wide when p90 is more than twice p10", () => {
  expect(spread([10, 10, 10, 20, 20]).isWide).toBe(false);
  expect(spread([10, 10, 10, 21, 21]).isWide).toBe(true);
});

test("samples keep their order", () => {
  const samples = [3, 1, 2];
  spread(samples);
  expect(samples).toEqual([3, 1, 2]);
});

test("no samples have no quantile", () => {
  expect(() => spread([])).toThrow("quantile: no samples, want at least one");
});
