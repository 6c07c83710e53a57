// Metrics of samples against closed forms.
import { featureMoments, frechetDistance, inceptionScore, kernelDistance, precisionRecall } from "@pkg/diffusion";
import { randomStream } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const normals = (seed: number, n: number, d: number): number[][] => {
  const values = randomStream(seed).host.normal([n, d]);
  return Array.from({ length: n }, (_, k) => [...values.subarray(k * d, (k + 1) * d)]);
};

/** A covariance as a loop in float32 adds it up. */
function summedInSingle(features: readonly number[][], mean: Float32Array) {
  const f32 = Math.fround;
  const covariance = Array.from(mean, () => new Float32Array(mean.length));
  for (const row of features) {
    const centred = Float32Array.from(row, (x, k) => f32(x) - mean[k]);
    for (const [i, of] of covariance.entries())
      for (let j = 0; j < of.length; j++) of[j] += f32(centred[i] * centred[j]);
  }
  return { mean, covariance: covariance.map((row) => row.map((x) => x / (features.length - 1))) };
}

describe("Fréchet's distance of Gaussians", () => {
  test("in one dimension is (μ₁ − μ₂)² + (σ₁ − σ₂)²", () => {
    const gaussian = (mean: number, std: number) => ({ mean: [mean], covariance: [[std ** 2]] });
    expect(frechetDistance(gaussian(1, 2), gaussian(-2, 0.5))).toBeCloseTo(9 + 2.25, 12);
    expect(frechetDistance(gaussian(1, 0), gaussian(1, 3))).toBeCloseTo(9, 12);
  });

  test("in two has the root's trace √(Tr C₁C₂ + 2 √det C₁C₂), whether or not they commute", () => {
    const [a, b] = [
      [
        [2, 0.7],
        [0.7, 1],
      ],
      [
        [0.5, -0.4],
        [-0.4, 3],
      ],
    ];
    const trace = a[0][0] * b[0][0] + 2 * a[0][1] * b[0][1] + a[1][1] * b[1][1];
    const determinant = (m: number[][]) => m[0][0] * m[1][1] - m[0][1] ** 2;
    const root = Math.sqrt(trace + 2 * Math.sqrt(determinant(a) * determinant(b)));
    const found = frechetDistance({ mean: [1, 0], covariance: a }, { mean: [0, 2], covariance: b });
    expect(found).toBeCloseTo(1 + 4 + 3 + 3.5 - 2 * root, 12);
    const exchanged = frechetDistance({ mean: [0, 2], covariance: b }, { mean: [1, 0], covariance: a });
    expect(exchanged).toBeCloseTo(found, 12);
  });

  test("takes singular covariances: of u uᵀ and v vᵀ the root's trace is |uᵀv|", () => {
    const [u, v] = [
      [1, 2, -1, 0.5],
      [0.3, -1, 2, 4],
    ];
    const outer = (w: number[]) => w.map((x) => w.map((y) => x * y));
    const dot = (a: number[], b: number[]) => a.reduce((sum, x, k) => sum + x * b[k], 0);
    const zero = [0, 0, 0, 0];
    const found = frechetDistance({ mean: zero, covariance: outer(u) }, { mean: zero, covariance: outer(v) });
    expect(found).toBeCloseTo(dot(u, u) + dot(v, v) - 2 * Math.abs(dot(u, v)), 11);
    const apart = [outer([1, 0, 0, 0]), outer([0, 1, 0, 0])].map((covariance) => ({ mean: zero, covariance }));
    expect(frechetDistance(apart[0], apart[1])).toBeCloseTo(2, 12);
  });

  test("of samples, fewer than features, to themselves is 0, and to themselves moved the square of the way", () => {
    const features = normals(1, 6, 20);
    const moments = featureMoments(features);
    const moved = featureMoments(features.map((row) => row.map((x) => x + 0.5)));
    expect(frechetDistance(moments, moments)).toBeCloseTo(0, 10);
    expect(frechetDistance(moments, moved)).toBeCloseTo(20 * 0.25, 10);
    // Doubled around the mean: Tr (C + 4 C − 2 · 2 C) = Tr C.
    const doubled = featureMoments(features.map((row) => row.map((x, k) => 2 * x - moments.mean[k])));
    const trace = moments.covariance.reduce((sum, row, k) => sum + row[k], 0);
    expect(frechetDistance(moments, doubled)).toBeCloseTo(trace, 10);
  });

  test.each([
    [6, 20],
    [24, 64],
    [100, 192],
  ])("of %i samples of %i features is the same by float32 moments, rounded to it or added up in it", (n, d) => {
    const sets = [normals(2, n, d), normals(3, n, d).map((row) => row.map((x, k) => x * (1 + k / d) + 0.3))];
    const exact = sets.map((set) => featureMoments(set));
    const wanted = frechetDistance(exact[0], exact[1]);
    const rounded = exact.map(({ mean, covariance }) => ({
      mean: Float32Array.from(mean),
      covariance: covariance.map((row) => Float32Array.from(row)),
    }));
    const summed = sets.map((set, k) => summedInSingle(set, rounded[k].mean));
    for (const [a, b] of [rounded, summed]) {
      expect(Math.abs(frechetDistance(a, b) / wanted - 1)).toBeLessThan(1e-4);
      expect(frechetDistance(a, a) / wanted).toBeLessThan(1e-4);
      const plain = { mean: [...a.mean], covariance: a.covariance.map((row) => [...row]) }; // as JSON has them
      expect(frechetDistance(plain, b)).toBe(frechetDistance(a, b));
    }
  });

  test("has moments with n − 1", () => {
    const { mean, covariance } = featureMoments([
      [1, 2],
      [3, 8],
      [5, 2],
    ]);
    expect([...mean]).toEqual([3, 4]);
    expect(covariance.map((row) => [...row])).toEqual([
      [4, 0],
      [0, 12],
    ]);
  });

  test("refuses what has no moments", () => {
    expect(() => featureMoments([[1, 2]])).toThrow("featureMoments: 1 samples, want at least 2");
    expect(() => featureMoments([[1, 2], [1]])).toThrow("featureMoments: sample 1 has 1 numbers, want 2");
    expect(() => featureMoments([[1], [Number.NaN]])).toThrow("featureMoments: sample 1 has NaN, want finite");
    const one = { mean: [0], covariance: [[1]] };
    expect(() => frechetDistance(one, { mean: [0, 0], covariance: [[1]] })).toThrow("a mean of 2");
    expect(() => frechetDistance({ mean: [0], covariance: [[-1]] }, one)).toThrow("has the eigenvalue -1");
    expect(() => frechetDistance({ mean: [0], covariance: [[-1e-5]] }, one)).toThrow("has the eigenvalue -0.00001");
    expect(() => frechetDistance({ mean: [0], covariance: [[Number.NaN]] }, one)).toThrow("a covariance has NaN");
    expect(() => frechetDistance({ mean: [], covariance: [] }, { mean: [], covariance: [] })).toThrow("a mean of 0");
    const holed = { mean: [undefined as never], covariance: [[1]] };
    expect(() => frechetDistance(holed, one)).toThrow("a mean has undefined, want finite numbers");
  });

  test("refuses half of a covariance, and takes one whose halves float32 left apart", () => {
    const moments = (upper: number, lower: number) => ({
      mean: [0, 0],
      covariance: [
        [4, upper],
        [lower, 1],
      ],
    });
    const message = "frechetDistance: a covariance has 0 at (1, 0) and 0.9 at (0, 1), want it symmetric";
    expect(() => frechetDistance(moments(0.9, 0), moments(0, 0))).toThrow(message);
    expect(frechetDistance(moments(Math.fround(0.9), Math.fround(0.9 + 1e-5)), moments(0.9, 0.9))).toBeLessThan(1e-4);
  });
});

describe("the Inception Score", () => {
  const oneHot = (label: number, classes: number) => Array.from({ length: classes }, (_, k) => Number(k === label));

  test("is 1 where nothing is told, and the number of classes where all are, surely and evenly", () => {
    const uniform = Array.from({ length: 20 }, () => new Array<number>(5).fill(0.2));
    expect(inceptionScore(uniform, { splits: 1 }).mean).toBeCloseTo(1, 12);
    const all = Array.from({ length: 20 }, (_, k) => oneHot(k % 5, 5));
    expect(inceptionScore(all, { splits: 2 })).toEqual({ mean: expect.closeTo(5, 12), std: expect.closeTo(0, 12) });
    const one = Array.from({ length: 20 }, () => oneHot(3, 5));
    expect(inceptionScore(one).mean).toBeCloseTo(1, 12);
  });

  test("is exp of the mean divergence, of each split by its own marginal", () => {
    // Two classes: p is (0.9, 0.1) as often as (0.1, 0.9), so that the marginal is even.
    const rows = Array.from({ length: 8 }, (_, k) => (k % 2 === 0 ? [0.9, 0.1] : [0.1, 0.9]));
    const divergence = 0.9 * Math.log(1.8) + 0.1 * Math.log(0.2);
    expect(inceptionScore(rows, { splits: 1 }).mean).toBeCloseTo(Math.exp(divergence), 12);
    // The first half is sure of both classes, the second of one alone: scores 2 and 1.
    const halves = [oneHot(0, 2), oneHot(1, 2), oneHot(0, 2), oneHot(0, 2)];
    expect(inceptionScore(halves, { splits: 2 })).toEqual({
      mean: expect.closeTo(1.5, 12),
      std: expect.closeTo(0.5, 12),
    });
  });

  test("of the smallest probability is that of none", () => {
    const rows = [
      [1, Number.MIN_VALUE],
      [1, 0],
    ];
    expect(inceptionScore(rows, { splits: 1 })).toEqual({ mean: 1, std: 0 });
  });

  test("refuses rows that are no distributions, and too few of them", () => {
    expect(() => inceptionScore([[0.5, 0.4]], { splits: 1 })).toThrow("sample 0 has the sum 0.9");
    expect(() => inceptionScore([[1.5, -0.5]], { splits: 1 })).toThrow("want probabilities from 0 on");
    expect(() => inceptionScore([[1, 0]])).toThrow("inceptionScore: 1 samples, want at least 10");
    expect(() => inceptionScore([[1, 0]], { splits: 0 })).toThrow("0 splits, want a positive integer");
  });
});

describe("the kernel distance", () => {
  test("leaves out the pairs of a vector with itself", () => {
    // d = 1: k(x, y) = (x y + 1)³; within {0, 2} 1, within {1, 3} 64, across 1, 1, 27, 343.
    const found = kernelDistance([[0], [2]], [[1], [3]], randomStream(0), { subsets: 3, size: 2 });
    expect(found).toEqual({ mean: expect.closeTo(1 + 64 - (2 * (1 + 1 + 27 + 343)) / 4, 12), std: 0 });
  });

  test("estimates E k(x, x′) + E k(y, y′) − 2 E k(x, y) without bias", () => {
    // x ~ N(0, 1), y ~ N(μ, 1): E (xy + 1)³ for independent ones, from moments.
    const cube = (a: number, b: number) =>
      (a ** 3 + 3 * a) * (b ** 3 + 3 * b) + 3 * (a ** 2 + 1) * (b ** 2 + 1) + 3 * a * b + 1;
    const mu = 0.5;
    const wanted = cube(0, 0) + cube(mu, mu) - 2 * cube(0, mu);
    // 400 disjoint subsets of 10, each one estimate: their mean is within 4 standard errors.
    const [x, y] = [normals(1, 4000, 1), normals(2, 4000, 1).map(([value]) => [value + mu])];
    const each = Array.from({ length: 400 }, (_, k) => {
      const [from, to] = [10 * k, 10 * k + 10];
      return kernelDistance(x.slice(from, to), y.slice(from, to), randomStream(0), { subsets: 1, size: 10 }).mean;
    });
    const mean = each.reduce((a, b) => a + b) / 400;
    const error = Math.sqrt(each.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 399 / 400);
    expect(Math.abs(mean - wanted)).toBeLessThan(4 * error);
    // Pairs of a vector with itself, (E (x² + 1)³ − 4) / 10 = 2.4 for x and more for y, would show.
    expect(4 * error).toBeLessThan(4.8);
  });

  test("refuses sets smaller than its subsets", () => {
    expect(() => kernelDistance(normals(0, 5, 2), normals(1, 5, 2), randomStream(0))).toThrow(
      "5 samples, want at least 1000",
    );
    expect(() => kernelDistance(normals(0, 5, 2), normals(1, 5, 3), randomStream(0), { size: 5 })).toThrow(
      "of 2 and of 3",
    );
  });

  test("refuses features whose kernel overflows", () => {
    const huge = normals(0, 3, 2).map((row) => row.map((x) => x * 1e60));
    expect(() => kernelDistance(huge, huge, randomStream(0), { size: 3 })).toThrow(
      /^kernelDistance: the distance of a subset is NaN, want features whose/,
    );
  });
});

describe("precision and recall", () => {
  const line = (...values: number[]) => values.map((value) => [value]);

  test("count what lies within the k-th neighbours of the other set", () => {
    // k = 1: the real radii are 1, 1, 2, the generated ones 4.5, 0.5, 0.5.
    const [real, generated] = [line(0, 1, 3), line(5.5, 10, 10.5)];
    expect(precisionRecall(real, generated, { k: 1 })).toEqual({ precision: 0, recall: 2 / 3 });
    expect(precisionRecall(real, line(-1, 5, 5.1), { k: 1 }).precision).toBeCloseTo(2 / 3, 12);
  });

  test("are 1 of a set with itself, and 0 of sets far apart; a copy does not count as its own neighbour", () => {
    const near = normals(3, 50, 4);
    const far = near.map((row) => row.map((x) => x + 100));
    expect(precisionRecall(near, near)).toEqual({ precision: 1, recall: 1 });
    expect(precisionRecall(near, far)).toEqual({ precision: 0, recall: 0 });
    // Duplicates do: the radius around 0 is 0.
    expect(precisionRecall(line(0, 0, 5, 5), line(1, 1), { k: 1 }).precision).toBe(0);
  });

  test("refuse sets of no more than k", () => {
    expect(() => precisionRecall(line(1, 2, 3), line(1, 2, 3))).toThrow("precisionRecall: 3 samples, want at least 4");
  });
});
