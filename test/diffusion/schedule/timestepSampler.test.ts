// Ways of drawing steps: every one leaves the expectation of the loss as it is.
import {
  type DrawnTimes,
  linear,
  lossAwareTimes,
  lowDiscrepancyTimes,
  predictionLoss,
  stratifiedTimes,
  type TimestepSampler,
  uniformTimes,
} from "@pkg/diffusion";
import type { Times } from "@pkg/nn";
import { cpu, randomStream, Tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const STEPS = 10;

function warm(): ReturnType<typeof lossAwareTimes> {
  const sampler = lossAwareTimes(STEPS, { history: 2 });
  const all = Array.from({ length: STEPS }, (_, t) => t);
  for (const scale of [1, 3]) {
    sampler.update(
      all,
      all.map((t) => scale * (t + 1)),
    );
  }
  return sampler;
}

const SAMPLERS: [string, TimestepSampler][] = [
  ["uniform", uniformTimes()],
  ["stratified", stratifiedTimes()],
  ["of low discrepancy", lowDiscrepancyTimes()],
  ["loss-aware", warm().draw],
];

/** What was drawn, as numbers. */
async function numbersOf({ times, weights }: DrawnTimes): Promise<{ times: number[]; weights: number[] }> {
  const read = async (given: Times) => [...(given instanceof Tensor ? await given.data() : given)];
  const steps = await read(times);
  return { times: steps, weights: weights ? await read(weights) : steps.map(() => 1) };
}

test.each(SAMPLERS)("%s draws estimate the mean over all steps without bias", async (_, draw) => {
  const rng = randomStream(1);
  const f = (t: number) => (t - 2) ** 2;
  const wanted = Array.from({ length: STEPS }, (_, t) => f(t)).reduce((a, b) => a + b, 0) / STEPS;
  const means: number[] = [];
  for (let k = 0; k < 2000; k++) {
    const { times, weights } = await numbersOf(draw(STEPS, 7, rng, backend));
    means.push(times.reduce((sum, t, i) => sum + weights[i] * f(t), 0) / 7);
  }
  const mean = means.reduce((a, b) => a + b, 0) / means.length;
  const deviation = Math.sqrt(means.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (means.length - 1));
  expect(Math.abs(mean - wanted)).toBeLessThan((5 * deviation) / Math.sqrt(means.length));
});

test("stratified draws visit each of as many parts as there are samples, low-discrepancy ones in equal strides", async () => {
  const { times } = await numbersOf(stratifiedTimes()(1000, 50, randomStream(2), backend));
  expect(times.map((t) => Math.floor(t / 20))).toEqual(Array.from({ length: 50 }, (_, i) => i));
  const spread = await numbersOf(lowDiscrepancyTimes()(1000, 50, randomStream(2), backend));
  const sorted = spread.times.sort((a, b) => a - b);
  for (let i = 1; i < 50; i++) expect([19, 20, 21]).toContain(sorted[i] - sorted[i - 1]);
});

test("loss-aware probabilities are the root mean squares of the last losses, with a share of the uniform", () => {
  const p = warm().probabilities();
  for (const [t, found] of p.entries()) expect(found).toBeCloseTo((0.999 * (t + 1)) / 55 + 0.001 / STEPS, 12);
  expect(p.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  expect(
    Array.from(p, (probability) => (1 / (probability * STEPS)) * probability).reduce((a, b) => a + b, 0),
  ).toBeCloseTo(1, 12);
});

test("until every step has its history the draw is uniform, and old losses are forgotten", async () => {
  const sampler = lossAwareTimes(2, { history: 3 });
  sampler.update([0, 0, 0, 1, 1], [9, 9, 9, 1, 1]);
  expect([...sampler.probabilities()]).toEqual([0.5, 0.5]);
  expect((await numbersOf(sampler.draw(2, 3, randomStream(0), backend))).weights).toEqual([1, 1, 1]);
  sampler.update([1], [1]);
  expect(sampler.probabilities()[0]).toBeCloseTo(0.999 * 0.9 + 0.0005, 12);
  sampler.update([0, 0, 0], [1, 1, 1]);
  expect(sampler.probabilities()[0]).toBeCloseTo(0.5, 12);
  sampler.update([0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]);
  expect([...sampler.probabilities()]).toEqual([0.5, 0.5]);
});

test("loss-aware probabilities hold for losses whose squares overflow, or vanish", async () => {
  for (const size of [1e200, 1e-200]) {
    const sampler = lossAwareTimes(2, { history: 2 });
    sampler.update([0, 0, 1, 1], [size, -size, 3 * size, 3 * size]);
    expect(sampler.probabilities()[0]).toBeCloseTo(0.999 * 0.25 + 0.0005, 12);
    const { times } = await numbersOf(sampler.draw(2, 50, randomStream(0), backend));
    expect(times.every((t) => t === 0 || t === 1)).toBe(true);
  }
});

test("a loss-aware sampler goes on from its state, as JSON", async () => {
  const [sampler, other] = [warm(), lossAwareTimes(STEPS, { history: 2 })];
  other.restore(JSON.parse(JSON.stringify(sampler.state())));
  const drawn = (from: typeof sampler) => numbersOf(from.draw(STEPS, 20, randomStream(3), backend));
  expect(await drawn(other)).toEqual(await drawn(sampler));
  expect(() => lossAwareTimes(3).restore(sampler.state())).toThrow(
    "lossAwareTimes: a state of 10 steps, want one of 3",
  );
  const restored = (losses: unknown) => () => lossAwareTimes(1).restore({ losses: losses as number[][] });
  expect(restored("x")).toThrow('lossAwareTimes: state.losses is "x", want a list for each step');
  expect(restored([3])).toThrow("lossAwareTimes: state.losses[0] is 3, want a list of numbers");
  expect(restored([[undefined]])).toThrow("lossAwareTimes: a state with the loss undefined, want finite numbers");
});

test("bad use is refused", () => {
  expect(() => lossAwareTimes(0)).toThrow("lossAwareTimes: steps is 0, want a positive integer");
  expect(() => lossAwareTimes(3, { history: 1.5 })).toThrow("lossAwareTimes: history is 1.5");
  expect(() => lossAwareTimes(3, { uniform: 0 })).toThrow("lossAwareTimes: uniform is 0, want a number in (0, 1]");
  const sampler = lossAwareTimes(3);
  expect(() => sampler.update([0, 3], [1, 1])).toThrow("lossAwareTimes: t is 3, want an integer in [0, 2]");
  expect(() => sampler.update([0], [Number.NaN])).toThrow("lossAwareTimes: the loss of step 0 is NaN");
  expect(() => sampler.update([0], [])).toThrow("lossAwareTimes: 0 losses for 1 times, want one each");
  expect(() => sampler.draw(4, 1, randomStream(0))).toThrow("lossAwareTimes: of 3 steps, used with a schedule of 4");
});

test("times and weights of one's own are checked", () => {
  const x0 = randomStream(1).normal([2, 2], { backend });
  const model = { forward: (x: Tensor) => x };
  const loss = (times: number[], weights: number[]) => () =>
    predictionLoss(model, linear(STEPS), x0, randomStream(0), { timesteps: () => ({ times, weights }) });
  expect(loss([1, 2], [1, Number.NaN])).toThrow("timesteps: weights[1] is NaN, want finite numbers");
  expect(loss([1, 2], [1])).toThrow("timesteps: 1 weights for a batch of 2, want one per sample");
  expect(loss([1], [1])).toThrow("timesteps: 1 times for a batch of 2, want one per sample");
  expect(loss([1, 10], [1, 1])).toThrow("timesteps: times[1] is 10, want an integer in [0, 9]");
});

test("a loss reports each sample's step and error, from which the sampler learns where to draw", async () => {
  const schedule = linear(STEPS);
  const sampler = lossAwareTimes(STEPS, { history: 4 });
  const rng = randomStream(4);
  const x0 = randomStream(5).normal([32, 3], { backend });
  const model = { forward: (x: Tensor) => x.mul(0.5) };
  for (let k = 0; k < 10; k++) {
    let seen: { times: Tensor; losses: Tensor } | undefined;
    const loss = await predictionLoss(model, schedule, x0, rng, {
      timesteps: sampler.draw,
      report: (given) => {
        seen = given;
      },
    }).item();
    if (!seen) throw new Error("no report");
    const [losses, times] = [[...(await seen.losses.data())], await seen.times.data()];
    const p = sampler.probabilities();
    const mean = losses.reduce((sum, error, i) => sum + error / (p[times[i]] * STEPS), 0) / 32;
    expect(loss).toBeCloseTo(mean, 10);
    sampler.update(times, losses);
    for (const tensor of Object.values(seen)) tensor.dispose();
  }
  expect(sampler.state().losses.map((seen) => seen.length)).toEqual(new Array(STEPS).fill(4));
});
