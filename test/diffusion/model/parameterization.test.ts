// Kinds of predictions and weights of the loss: every kind tells the same story, and the published values come out.
import {
  alphaBarAt,
  ancestral,
  constant,
  convertPrediction,
  convertWeight,
  cosine,
  ddim,
  discretePath,
  finalSample,
  gammaAt,
  type LossWeight,
  linear,
  minSnrWeight,
  type Prediction,
  p2Weight,
  predictionLoss,
  predictionTarget,
  qSample,
  sample,
  scaledLinear,
  sigmoid,
  snrAt,
  snrWeight,
  truncatedSnrWeight,
  variationalWeight,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { cpu, randomStream, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const KINDS: Prediction[] = ["noise", "data", "velocity", "flow", "score", "mean"];
const schedule = linear(1000);

describe("with the data and the noise known", () => {
  const times = [1, 10, 500, 998];
  const data = randomStream(1).normal([4, 6], { backend });
  const { noisy: x, noise } = qSample(schedule, data, times, randomStream(2));

  test.each(KINDS.flatMap((from) => KINDS.map((to) => ({ from, to }))))("$from becomes $to", async ({ from, to }) => {
    const given = predictionTarget(schedule, from, { data, noise, times });
    const wanted = predictionTarget(schedule, to, { data, noise, times });
    const found = convertPrediction(schedule, given, { from, to, x, times });
    const scale = await wanted.abs().max().item();
    expect(await found.sub(wanted).abs().max().item()).toBeLessThan(1e-8 * scale);
  });

  test("the loss of what was predicted exactly is zero, whatever is predicted", async () => {
    for (const prediction of KINDS) {
      const model = {
        forward: (noisy: typeof x, steps: readonly number[]) => {
          const from = "data" as const;
          return convertPrediction(schedule, data, { from, to: prediction, x: noisy, times: steps });
        },
      };
      expect(await predictionLoss(model, schedule, data, randomStream(3), { prediction }).item()).toBeLessThan(1e-16);
    }
  });
});

test("samplers draw the same from a model that predicts any kind", async () => {
  const variance = 0.25;
  const model = (to: Prediction) => ({
    forward(x: ReturnType<typeof tensor>, times: readonly number[]) {
      const alphaBar = alphaBarAt(schedule, times[0]);
      const noise = x.mul(Math.sqrt(1 - alphaBar) / (alphaBar * variance + 1 - alphaBar));
      return convertPrediction(schedule, noise, { from: "noise", to, x, times });
    },
  });
  for (const make of [ancestral, ddim]) {
    const draw = async (prediction: Prediction) =>
      (
        await finalSample(
          sample(make(discretePath(schedule, { steps: 20, prediction })), model(prediction), [64], randomStream(5), {
            backend,
          }),
        )
      ).data();
    const wanted = await draw("noise");
    for (const kind of KINDS)
      for (const [i, found] of [...(await draw(kind))].entries()) expect(found).toBeCloseTo(wanted[i], 6);
  }
});

test("at zero signal the noise says nothing of the data, and velocity says all", async () => {
  const zero = zeroTerminalSnr(schedule);
  expect(alphaBarAt(zero, 999)).toBe(0);
  expect(zero.betas[999]).toBe(1);
  expect(zero.betas[998]).toBeCloseTo(0.7522672, 6);
  expect(alphaBarAt(zero, 998)).toBeCloseTo(4.2133e-9, 12);
  const x = tensor([[0.5]], { backend });
  expect(() => convertPrediction(zero, x, { from: "noise", to: "data", x, times: [999] })).toThrow(
    "convertPrediction: noise at step 999, where ᾱ is 0, says nothing of the data: want velocity or data",
  );
  expect(await convertPrediction(zero, x.neg(), { from: "velocity", to: "data", x, times: [999] }).item()).toBe(0.5);
  expect(minSnrWeight(5)(zero, 999)).toBe(1);
  expect(minSnrWeight(5, "velocity")(zero, 999)).toBe(0);
});

test("the weights of the bound are the published ones", () => {
  const weight = (schedule: ReturnType<typeof linear>, variance: "fixedSmall" | "fixedLarge", step: number) =>
    variationalWeight(variance)(schedule, step - 1);
  expect(weight(schedule, "fixedSmall", 2)).toBeCloseTo(0.599672, 6);
  expect(weight(schedule, "fixedSmall", 500)).toBeCloseTo(0.0055082, 7);
  expect(weight(schedule, "fixedSmall", 1000)).toBeCloseTo(0.0102045, 7);
  expect(weight(schedule, "fixedLarge", 1)).toBeCloseTo(0.50005, 6);
  expect(weight(schedule, "fixedLarge", 2)).toBeCloseTo(0.272692, 6);
  expect(weight(cosine(1000), "fixedSmall", 2)).toBeCloseTo(0.558856, 6);
  expect(weight(cosine(1000), "fixedSmall", 500)).toBeCloseTo(0.00312706, 8);
  expect(weight(cosine(1000), "fixedSmall", 1000)).toBeCloseTo(499.501, 2);
  expect(weight(schedule, "fixedSmall", 1)).toBeCloseTo(1 / (2 * (1 - 1e-4)), 12);
});

test("the prior's distance from N(0, 1) in bits per dimension, at data of 1, is the published one", () => {
  // ½ (variance + mean² − 1 − log variance) with variance 1 − ᾱ and mean √ᾱ
  const bits = (given: ReturnType<typeof linear>) =>
    (-0.5 * Math.log1p(-alphaBarAt(given, given.steps - 1))) / Math.LN2;
  expect(bits(linear(1000))).toBeCloseTo(2.91e-5, 7);
  expect(bits(scaledLinear(1000))).toBeCloseTo(3.37e-3, 5);
  expect(bits(cosine(1000)) / 1.75e-9).toBeCloseTo(1, 2);
  expect(bits(sigmoid(1000)) / 2.2e-7).toBeCloseTo(1, 1);
});

test("weights by the ratio of signal to noise", () => {
  expect(snrAt(constant(10, 0.5), 0)).toBe(1);
  expect(minSnrWeight(5)(schedule, 0)).toBeCloseTo(5 / snrAt(schedule, 0), 12);
  expect(minSnrWeight(5, "data")(schedule, 0)).toBe(5);
  expect(p2Weight({ k: 1, gamma: 1 })(constant(10, 0.5), 0)).toBe(0.5);
});

test("a weight of one kind's error is one of every other's", async () => {
  const times = [1, 10, 500, 998];
  const data = randomStream(1).normal([4, 50], { backend });
  const { noisy: x, noise } = qSample(schedule, data, times, randomStream(2));
  const guess = data.mul(0.7).add(0.1);
  const weighted = async (kind: Prediction, weight: LossWeight) => {
    const target = predictionTarget(schedule, kind, { data, noise, times });
    const predicted = convertPrediction(schedule, guess, { from: "data", to: kind, x, times });
    const errors = await predicted.sub(target).square().sum(1).data();
    return times.map((t, i) => weight(schedule, t) * errors[i]);
  };
  for (const from of KINDS) {
    const wanted = await weighted(from, () => 1);
    for (const to of KINDS) {
      const found = await weighted(
        to,
        convertWeight(() => 1, { from, to }),
      );
      for (const [i, value] of found.entries()) expect(value / wanted[i]).toBeCloseTo(1, 5);
    }
  }
  for (const [make, inData] of [
    [snrWeight, (snr: number) => snr],
    [truncatedSnrWeight, (snr: number) => Math.max(snr, 1)],
    [(kind: Prediction) => minSnrWeight(5, kind), (snr: number) => Math.min(snr, 5)],
  ] as const) {
    const wanted = await weighted("data", (given, t) => inData(snrAt(given, t)));
    for (const kind of KINDS)
      for (const [i, value] of (await weighted(kind, make(kind))).entries())
        expect(value / wanted[i]).toBeCloseTo(1, 5);
  }
});

test("the variational weight of the posterior's variance is half of the fall of the signal-to-noise ratio", () => {
  // ½ (SNR_s − SNR_t) ‖Δx₀‖² = ½ (e^(γ_t − γ_s) − 1) ‖Δε‖² (Kingma et al. 2021, eq. 13 and 14)
  for (const t of [1, 2, 500, 999]) {
    const ofNoise = variationalWeight()(schedule, t);
    expect(ofNoise / (0.5 * Math.expm1(gammaAt(schedule, t) - gammaAt(schedule, t - 1)))).toBeCloseTo(1, 9);
    const ofData = convertWeight(variationalWeight(), { from: "noise", to: "data" })(schedule, t);
    expect(ofData / (0.5 * (snrAt(schedule, t - 1) - snrAt(schedule, t)))).toBeCloseTo(1, 9);
  }
});

test("weights have defined values where no signal is left", () => {
  const zero = zeroTerminalSnr(schedule);
  const at = (weight: LossWeight) => weight(zero, 999);
  expect([at(snrWeight("noise")), at(snrWeight("data")), at(snrWeight("velocity")), at(snrWeight("score"))]).toEqual([
    1, 0, 0, 1,
  ]);
  expect([at(truncatedSnrWeight("data")), at(truncatedSnrWeight("velocity"))]).toEqual([1, 1]);
  expect(at(truncatedSnrWeight("noise"))).toBe(Number.POSITIVE_INFINITY);
  expect([at(minSnrWeight(5, "score")), at(minSnrWeight(5, "data"))]).toEqual([1, 0]);
  expect(() => minSnrWeight(0)).toThrow("minSnrWeight: γ is 0, want a positive number");
});

test("a weight that is not finite is refused with its step", () => {
  const x0 = randomStream(1).normal([2, 2], { backend });
  const model = { forward: (x: typeof x0) => x };
  expect(() => predictionLoss(model, linear(1), x0, randomStream(0), { weight: () => Number.NaN })).toThrow(
    "predictionLoss: the weight of step 0 is NaN, want a finite number",
  );
});
