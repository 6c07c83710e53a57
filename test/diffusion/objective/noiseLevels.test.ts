// The choices of NCSNv2: how far the levels reach, how close they lie, and how long Langevin's steps are.
import { annealedStep, exponential, largestDistance, levelCount, levelOverlap, levelRatio } from "@pkg/diffusion";
import { cpu, randomStream, tensor, zeros } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });

test("levels are geometric from one end to the other", () => {
  const sigmas = exponential(232, { max: 50, min: 0.01 });
  expect([sigmas[0], sigmas.length]).toEqual([expect.closeTo(50, 12), 232]);
  expect(sigmas[231]).toBeCloseTo(0.01, 14);
  for (let i = 1; i < 232; i++) expect(sigmas[i - 1] / sigmas[i]).toBeCloseTo(5000 ** (1 / 231), 10);
});

test("the largest distance is between the farthest two, in whichever blocks they are", async () => {
  const far = tensor([[3, 4]], { backend });
  const x = tensor([[7, -7]], { backend }).expand([1200, 2]);
  expect(await largestDistance(x)).toBeLessThan(1e-6);
  for (const place of [0, 600, 1199]) {
    const shifted = x.add(far.mul(oneAt(place, 1200)));
    expect(await largestDistance(shifted)).toBeCloseTo(5, 6);
  }
  const images = randomStream(2).normal([40, 2, 3, 1], { backend });
  const rows = (await images.reshape([40, 6]).array()) as number[][];
  const distances = rows.flatMap((a) => rows.map((b) => Math.hypot(...a.map((value, k) => value - b[k]))));
  expect(await largestDistance(images)).toBeCloseTo(Math.max(...distances), 8);
  await expect(largestDistance(zeros([1, 2], { backend }))).rejects.toThrow(
    "largestDistance: 1 samples, want at least two",
  );
});

test("equal levels overlap but for the 0.27 % beyond three deviations, distant ones not at all", () => {
  expect(levelOverlap(1, 3072)).toBeCloseTo(0.9973002039, 9);
  expect(levelOverlap(2, 3072)).toBe(0);
  // Where √(2d)(γ − 1) = 3γ the overlap is Φ(6γ) − ½.
  const root = Math.sqrt(2 * 3072);
  expect(levelOverlap(root / (root - 3), 3072)).toBeCloseTo(0.5, 8);
});

test("the ratio of half an overlap: √(2d) / (√(2d) − 3) where d is large, any at all up to four dimensions", () => {
  for (const d of [5, 6, 100, 3072, 49152]) {
    expect(levelOverlap(levelRatio(d), d)).toBeCloseTo(0.5, 8);
    expect(levelRatio(d)).toBeCloseTo(Math.sqrt(2 * d) / (Math.sqrt(2 * d) - 3), 7);
  }
  for (const d of [1, 2, 3, 4]) {
    expect(levelRatio(d)).toBe(Number.POSITIVE_INFINITY);
    expect(levelOverlap(1000, d)).toBeGreaterThan(0.5);
  }
});

test("CIFAR-10's 232 levels from 50 to 0.01 overlap by 0.57, and half takes about as many", () => {
  expect(levelOverlap(5000 ** (1 / 231), 3072)).toBeCloseTo(0.567, 3);
  expect(levelCount(50, 0.01, 3072)).toBe(1 + Math.ceil(Math.log(5000) / Math.log(levelRatio(3072))));
  expect(Math.abs(levelCount(50, 0.01, 3072) / 232 - 1)).toBeLessThan(0.06);
  expect(levelCount(10, 0.1, 2)).toBe(2);
});

test("CIFAR-10's step of the paper, ε = 6.2e-6 for 5 steps at σ = 0.01, comes out", () => {
  const step = annealedStep(0.01, 5000 ** (1 / 231), 5);
  expect(Math.abs(step / 6.2e-6 - 1)).toBeLessThan(0.02);
  // No other step brings the variance closer to the level's.
  const miss = (epsilon: number) => {
    const eta = epsilon / 0.01 ** 2;
    let ratio = 5000 ** (2 / 231);
    for (let k = 0; k < 5; k++) ratio = (1 - eta) ** 2 * ratio + 2 * eta;
    return Math.abs(ratio - 1);
  };
  for (let k = 1; k < 100; k++) expect(miss(step)).toBeLessThanOrEqual(miss((k / 100) * 1e-4) + 1e-12);
});

test("what does not fit is refused", () => {
  expect(() => levelOverlap(0.5, 2)).toThrow("levelOverlap: ratio is 0.5, want a number ≥ 1");
  expect(() => levelRatio(0)).toThrow("levelRatio: 0 dimensions, want a positive integer");
  expect(() => levelCount(1, 2, 3)).toThrow("levelCount: σ is 2 after 1, want levels that fall");
  expect(() => annealedStep(0, 1.1, 5)).toThrow("annealedStep: σ is 0, want a finite number above 0");
  expect(() => annealedStep(1, 1, 5)).toThrow("annealedStep: ratio is 1, want a finite number above 1");
  expect(() => annealedStep(1, 2, 0)).toThrow("annealedStep: 0 steps, want a positive integer");
});

/** [n, 1] with 1 at one place. */
function oneAt(place: number, n: number) {
  return tensor(
    Float64Array.from({ length: n }, (_, k) => Number(k === place)),
    { backend, shape: [n, 1] },
  );
}
