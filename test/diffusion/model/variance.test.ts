// Variances of the reverse step: the published ones, the learned ones, and the one that is best for the model at hand.
import {
  alphaBarAt,
  analytic,
  cosine,
  fixedLarge,
  fixedSmall,
  learned,
  learnedRange,
  linear,
  type Model,
  noiseEnergies,
  posterior,
  type ReverseVariance,
  respace,
  type Schedule,
  spacedTimes,
  splitVariance,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { cpu, grad, randomStream, type Tensor, tensor, zeros } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const schedule = linear(1000);
const IMAGES = { range: [-1, 1] } as const;

async function logOf(rule: ReverseVariance, t: number, { to = t - 1, raw = undefined as Tensor | undefined } = {}) {
  const x = zeros([1, 1], { backend });
  return rule.logVariance({ schedule, x, times: [t], to: [to], raw }).item();
}

test("the fixed variances are β̃ and β; to the data both are β̃ of the step before", async () => {
  expect(await logOf(fixedSmall(), 500)).toBeCloseTo(Math.log(posterior(schedule, 500).variance), 14);
  expect(await logOf(fixedLarge(), 500)).toBeCloseTo(Math.log(schedule.betas[500]), 14);
  expect(await logOf(fixedSmall(), 900, { to: 800 })).toBeCloseTo(Math.log(posterior(schedule, 900, 800).variance), 14);
  for (const rule of [fixedSmall(), fixedLarge()]) expect(await logOf(rule, 0)).toBeCloseTo(Math.log(5.45318766e-5), 7);
  expect(await logOf(fixedSmall({ first: "clamp" }), 0)).toBe(Math.log(1e-20));
});

test("each sample has the variance of its own step", async () => {
  const x = zeros([3, 2, 2, 1], { backend });
  const logs = fixedLarge().logVariance({ schedule, x, times: [1, 10, 999] });
  expect(logs.shape).toEqual([3, 1, 1, 1]);
  expect([...(await logs.data())]).toEqual([1, 10, 999].map((t) => Math.log(schedule.betas[t])));
});

test("a learned range goes from log β̃ at −1 to log β at 1, in logs, and is not limited", async () => {
  const at = (o: number, t: number) => logOf(learnedRange(), t, { raw: tensor([[o]], { backend }) });
  const [low, high] = [Math.log(posterior(schedule, 3).variance), Math.log(schedule.betas[3])];
  for (const [o, wanted] of [
    [-1, low],
    [1, high],
    [0, (low + high) / 2],
    [2, low + 1.5 * (high - low)],
  ]) {
    expect(await at(o, 3)).toBeCloseTo(wanted, 12);
  }
  expect(await at(-1, 0)).toBeCloseTo(Math.log(5.45318766e-5), 7);
  const raw = tensor([[0.2]], { backend });
  const [slope] = grad(
    (raw) =>
      learnedRange()
        .logVariance({ schedule, x: raw, times: [3], raw })
        .sum(),
    [raw],
  );
  expect(await slope.item()).toBeCloseTo((high - low) / 2, 12);
  expect(await logOf(learned(), 3, { raw })).toBe(0.2);
});

test.each([1, 2, 3, 4, 5])("a model's output with variances is cut in two, of %i channels", async (channels) => {
  const output = randomStream(1).normal([2, 3, 3, 2 * channels], { backend });
  const { prediction, raw } = splitVariance(output, learnedRange(), [2, 3, 3, channels]);
  expect([prediction.shape, raw?.shape]).toEqual([
    [2, 3, 3, channels],
    [2, 3, 3, channels],
  ]);
  expect(await prediction.slice(1, 2, 0, channels - 1).item()).toBe(await output.slice(1, 2, 0, channels - 1).item());
  expect(await raw?.slice(1, 2, 0, 0).item()).toBe(await output.slice(1, 2, 0, channels).item());
});

test("an output of other channels is refused", () => {
  const output = zeros([2, 4, 4, 3], { backend });
  expect(() => splitVariance(output, learnedRange(), [2, 4, 4, 3])).toThrow(
    "splitVariance: the model's output is [2,4,4,3] for x [2,4,4,3], want [2,4,4,6]",
  );
  expect(() => splitVariance(output, fixedSmall(), [2, 4, 4, 1])).toThrow("want [2,4,4,1]");
  expect(splitVariance(output, fixedSmall(), [2, 4, 4, 3]).prediction).toBe(output);
  expect(() => learned().logVariance({ schedule, x: output, times: [1, 1] })).toThrow("learned: no raw variance");
});

/** E[ε | x_t] of data from N(0, variance), and what Γ then is. */
const gaussian = (schedule: Schedule, variance: number): { model: Model; energies: Float64Array } => {
  const gain = (t: number) => {
    const alphaBar = alphaBarAt(schedule, t);
    return Math.sqrt(1 - alphaBar) / (alphaBar * variance + 1 - alphaBar);
  };
  return {
    model: { forward: (x, [t]: readonly number[]) => x.mul(gain(t)) },
    energies: Float64Array.from({ length: schedule.steps }, (_, t) => {
      const alphaBar = alphaBarAt(schedule, t);
      return gain(t) ** 2 * (alphaBar * variance + 1 - alphaBar);
    }),
  };
};

test.each([1, 5, 50, 1000])("with the optimal variance %i steps keep Gaussian data's own", async (steps) => {
  // For x_t of the right variance the mean and the variance of each reverse step are exact, so x₀'s variance is.
  const respaced = respace(schedule, spacedTimes(1000, steps, "trailing"));
  const { energies } = gaussian(respaced, 0.25);
  let variance = alphaBarAt(respaced, steps - 1) * 0.25 + respaced.noiseVariances[steps - 1];
  const x = zeros([1], { backend });
  for (let t = steps - 1; t >= 0; t--) {
    const { fromData, fromNoisy } = posterior(respaced, t);
    const alphaBar = alphaBarAt(respaced, t);
    const shrink = (Math.sqrt(alphaBar) * 0.25) / (alphaBar * 0.25 + 1 - alphaBar); // E[x₀ | x_t] / x_t
    const log = await analytic(energies, { range: null })
      .logVariance({ schedule: respaced, x, times: [t] })
      .item();
    variance = (fromData * shrink + fromNoisy) ** 2 * variance + Math.exp(log);
  }
  expect(variance).toBeCloseTo(0.25, 9);
});

test("the optimal variance is between β̃ and what data of its range can have", async () => {
  const nothing = analytic(new Float64Array(1000), IMAGES); // a model that knows nothing: Γ = 0
  const everything = analytic(new Float64Array(1000).fill(1), IMAGES);
  for (const t of [1, 500, 999]) {
    const { variance, fromData } = posterior(schedule, t);
    const known = (1 - alphaBarAt(schedule, t)) / alphaBarAt(schedule, t);
    expect(await logOf(everything, t)).toBeCloseTo(Math.log(variance), 12);
    expect(await logOf(nothing, t)).toBeCloseTo(Math.log(variance + fromData ** 2 * Math.min(1, known)), 10);
  }
  expect(await logOf(everything, 0)).toBeCloseTo(Math.log(5.45318766e-5), 7);
});

test("Γ is estimated from data within five standard deviations", async () => {
  const short = cosine(8);
  const { model, energies } = gaussian(short, 0.25);
  const n = 4000;
  const x0 = randomStream(8).normal([n], { backend, std: 0.5 });
  for (const [t, energy] of (await noiseEnergies(model, short, x0, randomStream(9))).entries()) {
    // ε̂ is normal with variance Γ, its square has variance 2 Γ².
    expect(Math.abs(energy - energies[t])).toBeLessThan(5 * energies[t] * Math.sqrt(2 / n));
  }
  const broken = { forward: (x: Tensor) => x.mul(Number.NaN) };
  await expect(noiseEnergies(broken, short, x0, randomStream(0))).rejects.toThrow(
    "noiseEnergies: the model's output at step 0 has",
  );
});

test("bad energies and ranges are refused", () => {
  const x = zeros([1], { backend });
  expect(() => analytic([0.5, -1], IMAGES)).toThrow("analytic: energies[1] is -1, want finite numbers from 0 on");
  const noRange = {} as typeof IMAGES; // as JavaScript may leave it out
  expect(() => analytic([0.5], noRange)).toThrow("analytic: no range, want [low, high] of the data");
  expect(() => analytic([0.5], { range: [1, 1] })).toThrow("analytic: range is [1,1], want low below high");
  expect(() => analytic([0.5], IMAGES).logVariance({ schedule, x, times: [3] })).toThrow(
    "analytic: 1 energies for 1000 steps",
  );
  const zero = zeroTerminalSnr(schedule);
  const ones = new Float64Array(1000).fill(1);
  expect(() => analytic(ones, { range: null }).logVariance({ schedule: zero, x, times: [999] })).toThrow(
    "analytic: ᾱ is 0 at step 999",
  );
  expect(() => fixedSmall().logVariance({ schedule, x, times: [3], to: [2, 1] })).toThrow(
    "variance: 2 ends for 1 times",
  );
});
