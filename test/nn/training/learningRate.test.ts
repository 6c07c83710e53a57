// Learning-rate schedules: their formulas, as data, and what is refused.
import {
  adamW,
  cosineDecay,
  describeRate,
  inverseSqrt,
  type LearningRate,
  linearDecay,
  type RateSchedule,
  rateAt,
  warmup,
} from "@pkg/nn";
import { cpu, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const rates = (lr: LearningRate, steps: readonly number[]) => steps.map((n) => rateAt(lr, n));

test("each schedule is its formula", () => {
  expect(rates(0.25, [0, 7])).toEqual([0.25, 0.25]);
  expect(rates(linearDecay(0.5, 10), [0, 5, 10, 1000])).toEqual([0.5, 0.25, 0, 0]);
  expect(rates(linearDecay(0.5, 10, 0.25), [0, 5, 10, 1000])).toEqual([0.5, 0.375, 0.25, 0.25]);
  const cosine = rates(cosineDecay(0.5, 12, 0.1), [0, 4, 6, 8, 12, 99]);
  for (const [k, rate] of [0.5, 0.4, 0.3, 0.2, 0.1, 0.1].entries()) expect(cosine[k]).toBeCloseTo(rate, 15);
  expect(rates(inverseSqrt(0.5, 100), [0, 99, 100, 400, 10_000])).toEqual([0.5, 0.5, 0.5, 0.25, 0.05]);
  expect(rates(warmup(0.5, 4), [0, 1, 2, 3, 4, 99])).toEqual([0.125, 0.25, 0.375, 0.5, 0.5, 0.5]);
  expect(rates(warmup(1, 0), [0, 1])).toEqual([1, 1]);
});

test("a warm-up goes with each schedule, which goes on meanwhile, and with another warm-up", () => {
  for (const rate of [linearDecay(1, 8), cosineDecay(1, 8), inverseSqrt(1, 2), warmup(1, 3)]) {
    for (const n of [0, 1, 2, 3, 4, 9])
      expect(rateAt(warmup(rate, 4), n)).toBe(rateAt(rate, n) * Math.min(1, (n + 1) / 4));
  }
  // Vaswani et al. 2017, eq. 3, with a model of 512 channels: 512^−½ · min(n^−½, n · w^−3⁄2), n from 1. Ours decays from 0.
  const noam = (n: number) => 512 ** -0.5 * Math.min(n ** -0.5, n * 400 ** -1.5);
  const ours = warmup(inverseSqrt((512 * 400) ** -0.5, 400), 400);
  for (const n of [1, 17, 400]) expect(rateAt(ours, n - 1) / noam(n)).toBeCloseTo(1, 12);
  for (const n of [401, 5000]) expect(rateAt(ours, n) / noam(n)).toBeCloseTo(1, 12);
});

test("schedules are plain data: they have the same rates after JSON, and words", () => {
  const made = [
    [warmup(cosineDecay(1e-3, 10_000), 500), "0.001, by a cosine to 0 at step 10000, with a warm-up of 500 steps"],
    [linearDecay(1, 5, 0.5), "1, by a line to 0.5 at step 5"],
    [inverseSqrt(0.01, 70), "0.01, by the inverse square root from step 70 on"],
    [warmup(2, 1), "2, with a warm-up of 1 steps"],
  ] as const;
  for (const [schedule, words] of made) {
    const again: RateSchedule = JSON.parse(JSON.stringify(schedule));
    expect(again).toEqual(schedule);
    expect(rates(again, [0, 3, 600])).toEqual(rates(schedule, [0, 3, 600]));
    expect(describeRate(schedule)).toBe(words);
  }
  expect(describeRate(0.5)).toBe("0.5");
  expect(describeRate(() => 1)).toBe("a function of the step");
});

test("what is no rate is refused with its place, also in data that come from elsewhere", () => {
  expect(() => cosineDecay(-1, 5)).toThrow("cosineDecay: peak is -1, want a finite number ≥ 0");
  expect(() => linearDecay(1, 5, Number.NaN)).toThrow("linearDecay: end is NaN, want a finite number ≥ 0");
  expect(() => inverseSqrt(1, -5)).toThrow("inverseSqrt: steps is -5, want a finite number ≥ 0");
  expect(() => warmup(Number.NaN, 5)).toThrow("warmup: rate is NaN, want a finite number ≥ 0");
  expect(() => warmup({ schedule: "linear", peak: 1, steps: 3, end: -1 }, 5)).toThrow("warmup: rate.end is -1, want");
  const w = tensor([1], { backend: cpu() });
  const lr = (given: unknown) => () => adamW([w], { lr: given as LearningRate });
  expect(lr({ schedule: "step", peak: 1 })).toThrow('adamW: lr.schedule is "step", want one of linear, cosine');
  expect(lr({ schedule: "warmup", steps: 3, rate: { schedule: "cosine", peak: "1", steps: 2, end: 0 } })).toThrow(
    'adamW: lr.rate.peak is "1", want a finite number ≥ 0',
  );
  expect(lr(null)).toThrow("adamW: lr is null, want a finite number ≥ 0, or a function of the step, or a schedule");
  expect(() => rateAt(1, -1)).toThrow("rateAt: step is -1, want an integer ≥ 0");
  expect(() => rateAt((n) => 1 - n, 2)).toThrow("rateAt: lr(2) is -1, want a finite number ≥ 0");
});
