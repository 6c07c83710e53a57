// The point clouds: where they lie and how wide they are.
import { randomStream } from "@pkg/tensor";
import { expect, test } from "vitest";
import { checkerboard, eightGaussians, swissRoll, twoMoons } from "../../packages/lab/src/data.ts";

const N = 20_000;

test.each(Object.entries({ checkerboard, eightGaussians, swissRoll, twoMoons }))(
  "%s has about zero mean and unit variance, and is fixed by the seed",
  (_, cloud) => {
    const points = cloud(N, randomStream(1));
    expect(cloud(N, randomStream(1))).toEqual(points);
    for (const axis of [0, 1]) {
      const values = Array.from({ length: N }, (_, i) => points[2 * i + axis]);
      const mean = values.reduce((a, b) => a + b) / N;
      const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / N;
      expect(Math.abs(mean)).toBeLessThan(0.3);
      expect(variance).toBeGreaterThan(0.5);
      expect(variance).toBeLessThan(1.5);
    }
  },
);

test("the checkerboard's points lie in squares of one colour", () => {
  const points = checkerboard(N, randomStream(2));
  const square = Math.sqrt(3) / 2;
  const odd = Array.from({ length: N }, (_, i) => i).filter((i) => {
    const [column, row] = [points[2 * i], points[2 * i + 1]].map((x) => Math.floor(x / square + 2));
    return (column + row) % 2 !== 0;
  });
  expect(odd).toEqual([]);
});
