// Mean flows and shortcut models against the exact mean velocity of a Gaussian, and what one call draws of eight Gaussians.
import {
  eightGaussians,
  finalSample,
  finalState,
  improvedMeanFlowLoss,
  type Model,
  meanFlow,
  meanFlowLoss,
  sample,
  shortcut,
  shortcutLoss,
} from "@pkg/diffusion";
import { adamW, linearDecay, mlp } from "@pkg/nn";
import { cpu, grad, randomStream, type Tensor, tensor, wasm } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { energyDistance } from "../../../packages/lab/src/distance.ts";
import { exactMeanFlow, exactShortcut, exactVelocity, MEAN, VARIANCE, velocityVariance } from "./gaussianFlows.ts";

const backend = cpu({ precision: "float64" });
const gaussian = (n: number, seed = 1) =>
  randomStream(seed).normal([n, 3], { backend, mean: MEAN, std: Math.sqrt(VARIANCE) });

/** A model and a parameter by which its output is off: 0 is exact. */
function shifted(exact: Model): { readonly model: Model; readonly weight: Tensor } {
  const weight = tensor([0, 0, 0], { backend });
  return { weight, model: { forward: (x, t, c) => exact.forward(x, t, c).add(weight.mul(x)) } };
}
/** The largest part of a loss's gradient by the weight. */
async function slope(loss: () => Tensor, weight: Tensor): Promise<number> {
  const [gradient] = grad(loss, [weight]);
  return Math.max(...(await gradient.data()).map(Math.abs));
}

describe.each([
  ["meanFlowLoss", meanFlowLoss],
  ["improvedMeanFlowLoss", improvedMeanFlowLoss],
] as const)("%s", (_, loss) => {
  test("is 0 at the exact mean velocity of a Gaussian, and so is its gradient, with a teacher's velocity", async () => {
    const { model, weight } = shifted(exactMeanFlow);
    const options = { teacher: exactVelocity, share: 0.7 };
    const value = () => loss(model, gaussian(200), randomStream(2), options);
    expect(await value().item()).toBeLessThan(1e-25);
    expect(await slope(value, weight)).toBeLessThan(1e-12);
    expect(await value().item()).toBeGreaterThan(0); // rounding: it is computed, not cut off
  });

  test("tells a mean velocity that is wrong between its ends, or at them", async () => {
    const teacher = exactVelocity;
    const wrong: Model = { forward: (x, t, c) => exactMeanFlow.forward(x, t, c).mul(1.01) };
    const instantaneous: Model = { forward: (x, t) => exactVelocity.forward(x, t) };
    for (const model of [wrong, instantaneous]) {
      const value = await loss(model, gaussian(200), randomStream(2), { teacher, share: 1 }).item();
      expect(value).toBeGreaterThan(1e-5);
    }
  });

  test("at r = t is flow matching, with the variance of ε − x₀ as its least value", async () => {
    const n = 20_000;
    const t = 0.4;
    const both = new Array<number>(n).fill(t);
    const value = await loss(exactMeanFlow, gaussian(n), randomStream(3), { times: both, ends: both }).item();
    // The mean of 3 n squares of normals of that variance: five standard deviations.
    const variance = velocityVariance(t);
    expect(Math.abs(value - variance)).toBeLessThan(5 * variance * Math.sqrt(2 / (3 * n)));
  });
});

test("the improved loss of pairs is the variance of ε − x₀ at the exact mean velocity, the first one is larger", async () => {
  const n = 20_000;
  const [t, r] = [0.9, 0.1];
  const options = { times: new Array<number>(n).fill(t), ends: new Array<number>(n).fill(r) };
  const [improved, first] = await Promise.all(
    [improvedMeanFlowLoss, meanFlowLoss].map((loss) =>
      loss(exactMeanFlow, gaussian(n), randomStream(3), options).item(),
    ),
  );
  const variance = velocityVariance(t);
  expect(Math.abs(improved - variance)).toBeLessThan(5 * variance * Math.sqrt(2 / (3 * n)));
  // Along ε − x₀ the tangent is off by (t − r) ∂_z u (ε − x₀ − v): both errors are multiples of ε − x₀ − v, by 1 and by 1 − (t − r) ∂_z u.
  const size = (time: number) => Math.sqrt((1 - time) ** 2 * VARIANCE + time ** 2);
  const derivative = (1 - size(r) / size(t)) / (t - r);
  expect(first / improved).toBeCloseTo((1 - (t - r) * derivative) ** 2, 10);
});

test("the adaptive weight leaves the direction of a sample's gradient, and scales it by 1 / (‖Δ‖² + 10⁻³)^p", async () => {
  const x0 = gaussian(1);
  const options = { times: [0.8], ends: [0.3], teacher: exactVelocity };
  const model = (weight: Tensor): Model => ({ forward: (x, t, c) => exactMeanFlow.forward(x, t, c).add(weight) });
  const weight = tensor([0.3, -0.2, 0.1], { backend });
  const gradientOf = async (power: number) =>
    (await grad(
      () => meanFlowLoss(model(weight), x0, randomStream(2), { ...options, power }),
      [weight],
    )[0].data()) as Float64Array;
  const [plain, weighted] = [await gradientOf(0), await gradientOf(1)];
  const squares = 3 * (await meanFlowLoss(model(weight), x0, randomStream(2), options).item());
  // The plain loss is a mean over 3 elements, the weighted one a sum.
  for (const k of [0, 1, 2]) expect(weighted[k]).toBeCloseTo((3 * plain[k]) / (squares + 1e-3), 12);
});

test("a mean flow's step is exact whatever its length: one, three or uneven steps draw the same", async () => {
  const start = randomStream(4).normal([50, 3], { backend });
  const draw = (sampler: ReturnType<typeof meanFlow>) =>
    sample(sampler, exactMeanFlow, [50, 3], randomStream(5), { from: { x: start } });
  const one = await (await finalSample(draw(meanFlow()))).data();
  // z₀ = m + s z₁
  const [first] = await start.data();
  expect(one[0]).toBeCloseTo(MEAN + Math.sqrt(VARIANCE) * first, 12);
  for (const sampler of [meanFlow({ steps: 3 }), meanFlow({ times: [1, 0.9, 0.05] })]) {
    const other = await (await finalSample(draw(sampler))).data();
    for (const [k, value] of one.entries()) expect(other[k]).toBeCloseTo(value, 12);
  }
});

test("a run of a mean flow goes on where it was stopped, with the same bits", async () => {
  const rng = randomStream(0);
  const model = mlp({ sizes: [2, 16, 2], timeChannels: 8, numbers: { r: {} } }, { rng, backend: cpu() });
  const sampler = meanFlow({ steps: 4 });
  const whole = await (await finalSample(sample(sampler, model, [5, 2], randomStream(1)))).data();
  const from = await finalState(sample(sampler, model, [5, 2], randomStream(1), { until: 2 }));
  expect(from.step).toBe(2);
  expect(await (await finalSample(sample(sampler, model, [5, 2], randomStream(9), { from }))).data()).toEqual(whole);
});

test("the exact shortcut model has two half steps for each step, so that their part of its loss is 0", async () => {
  const { model, weight } = shifted(exactShortcut);
  const options = { times: [1, 0.75, 0.5, 0.625], lengths: [1, 0.5, 0.25, 0.125] };
  const value = () => shortcutLoss(model, gaussian(4), randomStream(2), options);
  expect(await value().item()).toBeLessThan(1e-28);
  // The half steps are without gradients, and the model's own output is theirs.
  expect(await slope(value, weight)).toBeLessThan(1e-13);
  const wrong: Model = { forward: (x, t) => exactVelocity.forward(x, t) };
  expect(await shortcutLoss(wrong, gaussian(4), randomStream(2), options).item()).toBeGreaterThan(1e-4);
});

test("the halves of the shortest step are asked at d = 0, and a batch learns flow matching in its other part", async () => {
  const asked: { t: number[]; d: number[] }[] = [];
  const model: Model = {
    forward(x, times, { numbers = {} } = {}) {
      asked.push({ t: [...(times as readonly number[])], d: [...(numbers.d as readonly number[])] });
      return exactShortcut.forward(x, times, { numbers });
    },
  };
  await shortcutLoss(model, gaussian(4), randomStream(2), {
    finest: 4,
    times: [1, 0.5, 0.3, 0.8],
    lengths: [1, 0.25, 0, 0],
  }).item();
  expect(asked).toEqual([
    { t: [1, 0.5], d: [0.5, 0] },
    { t: [0.5, 0.375], d: [0.5, 0] },
    { t: [1, 0.5, 0.3, 0.8], d: [1, 0.25, 0, 0] },
  ]);
  asked.length = 0;
  await shortcutLoss(model, gaussian(4000), randomStream(2), { finest: 8 }).item();
  const { t, d } = asked[2];
  expect(d.filter((length) => length > 0)).toHaveLength(1000);
  for (const [k, length] of d.entries()) {
    expect(t[k]).toBeGreaterThanOrEqual(length);
    expect(t[k]).toBeLessThanOrEqual(1);
    if (length > 0) expect(Number.isInteger(t[k] / length)).toBe(true);
  }
  for (const length of [1, 0.5, 0.25, 0.125]) {
    // One in four of 1000: five standard deviations.
    expect(Math.abs(d.filter((other) => other === length).length - 250)).toBeLessThan(5 * Math.sqrt(1000 * 0.1875));
  }
});

test("steps of a shortcut model are exact for the exact one", async () => {
  const start = randomStream(4).normal([20, 3], { backend });
  const draw = async (steps: number) => {
    const run = sample(shortcut({ steps }), exactShortcut, [20, 3], randomStream(5), { from: { x: start } });
    return (await finalSample(run)).data();
  };
  const [one, four] = [await draw(1), await draw(4)];
  for (const [k, value] of one.entries()) expect(four[k]).toBeCloseTo(value, 12);
});

test("one call of a mean flow draws eight Gaussians to an energy distance of at most 0.1, one of flow matching to more than 1", {
  timeout: 60_000,
}, async () => {
  const on = await wasm({ threads: 1 });
  const data = eightGaussians();
  const real = await data.sample(2000, randomStream(99), { backend: on }).data();
  const distances: number[] = [];
  for (const kind of ["mean flow", "flow"]) {
    const rng = randomStream(0);
    const timeEmbedding = { scale: 10 };
    const network = mlp(
      { sizes: [2, 128, 128, 128, 2], timeChannels: 16, timeEmbedding, numbers: { r: timeEmbedding } },
      { rng: rng.split("weights"), backend: on },
    );
    const optimizer = adamW(network, { lr: linearDecay(5e-3, 300), clipNorm: 1 });
    const model = kind === "flow" ? toldItsTime(network) : network;
    for (let step = 0; step < 300; step++) {
      const x0 = data.sample(512, rng, { backend: on });
      const times = [...rng.host.uniform([512])];
      const options = kind === "flow" ? { times, ends: times } : { share: 0.5 };
      optimizer.minimize(() => meanFlowLoss(model, x0, rng, options));
    }
    const drawn = await finalSample(sample(meanFlow(), model, [2000, 2], randomStream(5), { backend: on }));
    distances.push(energyDistance(await drawn.data(), real));
  }
  expect(distances[0]).toBeLessThan(0.1);
  expect(distances[1]).toBeGreaterThan(1);
});

/** The model with its own time as r: the instantaneous velocity wherever it is asked. */
function toldItsTime(model: Model): Model {
  return { forward: (x, times, c) => model.forward(x, times, { ...c, numbers: { r: times } }) };
}
