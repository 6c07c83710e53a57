// What the source documents derive on the way: identities between the functions here, point by point and as integrals.
import {
  alphaBarAt,
  classifierFree,
  constant,
  convertPrediction,
  cosine,
  denoisingScoreMatching,
  exactDivergence,
  explicitScoreMatching,
  forwardChain,
  gaussianDecoder,
  gaussianOracle,
  implicitScoreMatching,
  levelAt,
  linear,
  type Model,
  mixtureOracle,
  nll,
  posterior,
  predictionLoss,
  priorTerm,
  qSample,
  type Score,
  scoreOfEnergy,
} from "@pkg/diffusion";
import { arange, cpu, grad, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { listOf } from "../setup/listOf.ts";

const backend = cpu({ precision: "float64" });
const normals = (seed: number, shape: readonly number[], std = 1) => randomStream(seed).normal(shape, { backend, std });
const farthest = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();
/** log N(x; mean, variance) of numbers. */
const logNormal = (x: number, mean: number, variance: number) =>
  -0.5 * (Math.log(2 * Math.PI * variance) + (x - mean) ** 2 / variance);

describe("along trajectories of the forward process", () => {
  const [draws, variance] = [4000, 0.25];
  const schedule = cosine(6);
  /** E[ε | x_t] of data from N(0, 1/4). */
  const slope = (t: number) => {
    const { signal, noise } = levelAt(schedule, t);
    return noise / (signal ** 2 * variance + noise ** 2);
  };
  const model: Model = { forward: (x, [t]: readonly number[]) => x.mul(slope(t)) };

  /** x₀, …, x_T of each draw. */
  async function trajectories(): Promise<number[][]> {
    const x0 = normals(1, [draws, 1], Math.sqrt(variance));
    const states = [await x0.data()];
    for (const { x } of forwardChain(schedule, x0, randomStream(2))) states.push(await x.data());
    return Array.from({ length: draws }, (_, k) => states.map((values) => values[k]));
  }

  // Documents count the data as x_0 and steps from 1; a step's t is one less.
  const forward = (x: readonly number[], k: number) =>
    logNormal(x[k], Math.sqrt(1 - schedule.betas[k - 1]) * x[k - 1], schedule.betas[k - 1]);
  const jump = (x: readonly number[], k: number) => {
    const alphaBar = alphaBarAt(schedule, k - 1);
    return logNormal(x[k], Math.sqrt(alphaBar) * x[0], 1 - alphaBar);
  };
  const backward = (x: readonly number[], k: number) => {
    const { fromData, fromNoisy, variance } = posterior(schedule, k - 1);
    return logNormal(x[k - 1], fromData * x[0] + fromNoisy * x[k], variance);
  };
  /** log p_θ(x_{k−1} | x_k) with the small variance, and that of the second step in the first. */
  const reverse = (x: readonly number[], k: number) => {
    const { signal, noise } = levelAt(schedule, k - 1);
    const { fromData, fromNoisy } = posterior(schedule, k - 1);
    const data = ((1 - noise * slope(k - 1)) / signal) * x[k];
    return logNormal(x[k - 1], fromData * data + fromNoisy * x[k], posterior(schedule, Math.max(1, k - 1)).variance);
  };

  test("Bayes' rule turns each step: q(x_t | x_{t−1}) q(x_{t−1} | x₀) = q(x_{t−1} | x_t, x₀) q(x_t | x₀)", async () => {
    for (const x of (await trajectories()).slice(0, 100)) {
      for (let k = 2; k <= schedule.steps; k++)
        expect(forward(x, k) + jump(x, k - 1)).toBeCloseTo(backward(x, k) + jump(x, k), 10);
    }
  });

  test("log p(x_{0:T}) / q(x_{1:T} | x₀) is the bound's three terms, whose mean nll estimates", async () => {
    const ratios: number[] = [];
    for (const x of await trajectories()) {
      const last = schedule.steps;
      const prior = logNormal(x[last], 0, 1);
      let ratio = prior;
      let matching = 0;
      for (let k = 1; k <= last; k++) {
        ratio += reverse(x, k) - forward(x, k);
        if (k > 1) matching += reverse(x, k) - backward(x, k); // Σ log; the document once writes log Σ
      }
      expect(reverse(x, 1) + (prior - jump(x, last)) + matching).toBeCloseTo(ratio, 9);
      ratios.push(ratio);
    }
    const mean = ratios.reduce((a, b) => a + b) / draws;
    const squares = ratios.reduce((sum, ratio) => sum + (ratio - mean) ** 2, 0);
    const x0 = normals(3, [draws, 1], Math.sqrt(variance));
    const bound = await nll(model, schedule, x0, randomStream(4), { decoder: gaussianDecoder() });
    const error = Math.hypot(Math.sqrt(squares) / draws, bound.nats.standardError);
    expect(Math.abs(mean + bound.nats.mean)).toBeLessThan(4 * error);
    expect(error).toBeLessThan(0.05);
  });
});

test("the more steps, the nearer x_T is to N(0, 1), whatever the data: L_T goes as ᾱ_T", async () => {
  for (const steps of [50, 100, 200, 400]) {
    const schedule = constant(steps, 0.05);
    const alphaBar = 0.95 ** steps;
    const found = await priorTerm(schedule, tensor([[2, -1]], { backend })).item();
    // ½ Σ (ᾱ x₀² − ᾱ − log(1 − ᾱ))
    expect(found / (0.5 * (5 * alphaBar - 2 * alphaBar - 2 * Math.log1p(-alphaBar)))).toBeCloseTo(1, 9);
    expect(found / (2.5 * alphaBar)).toBeLessThan(1 + alphaBar);
  }
});

describe("energies", () => {
  // The midpoint rule over [−8, 8]: exact to rounding for functions that are smooth and fall to 0 inside.
  const count = 4000;
  const points = arange(0, count, { backend })
    .affine(16 / count, 8 / count - 8)
    .reshape([count, 1]);
  const integral = (values: Tensor) => values.sum().mul(16 / count);
  const wells = (x: Tensor) => x.square().square().mul(0.25).sub(x.square()).sum(1);

  test("have the density exp(−E) / Z, Z its integral: of a parabola it is the normal one", async () => {
    const parabola = (x: Tensor) =>
      x
        .sub(0.5)
        .square()
        .div(2 * 0.7)
        .sum(1);
    const logZ = await integral(parabola(points).neg().exp()).log().item();
    expect(logZ).toBeCloseTo(0.5 * Math.log(2 * Math.PI * 0.7), 12);
    const oracle = gaussianOracle({ mean: [0.5], variance: 0.7 });
    expect(await farthest(oracle.logDensity(points), parabola(points).neg().sub(logZ))).toBeLessThan(1e-10);
  });

  test("have a score that knows nothing of Z, and is the slope of log(exp(−E) / Z)", async () => {
    const score = scoreOfEnergy(wells);
    expect(await farthest(scoreOfEnergy((x: Tensor) => wells(x).add(3))(points), score(points))).toBe(0);
    const logZ = await integral(wells(points).neg().exp()).log().item();
    const logDensity = (x: Tensor) => wells(x).neg().exp().div(Math.exp(logZ)).log();
    expect(await integral(logDensity(points).exp()).item()).toBeCloseTo(1, 12);
    const x = normals(1, [20, 1]);
    expect(await farthest(grad((y) => logDensity(y).sum(), [x])[0], score(x))).toBeLessThan(1e-12);
    expect(await farthest(score(x), x.mul(2).sub(x.mul(x).mul(x)))).toBeLessThan(1e-12);
  });
});

describe("implicit matching", () => {
  // Two modes at ±3, and between them next to nothing: log p(0) is −36 + 0.2.
  const oracle = mixtureOracle({ means: [[-3], [3]], variances: 0.125 });
  const bump: Score = (x) => x.square().mul(-4).exp();
  const wrong: Score = (x) => oracle.score(x).add(bump(x));
  const count = 4000;
  const points = arange(0, count, { backend })
    .affine(24 / count, 12 / count - 12)
    .reshape([count, 1]);
  const over = (terms: Tensor, noise: number) =>
    oracle
      .logDensity(points, { signal: 1, noise })
      .exp()
      .mul(terms)
      .sum()
      .mul(24 / count)
      .item();
  const termsOf = (score: Score, x: Tensor) => {
    const { value, divergence } = exactDivergence(score, x);
    return divergence.add(value.square().sum(1).mul(0.5));
  };

  test("is ∫ p (tr ∇s + ½ ‖s‖²), which the mean over data estimates", async () => {
    const score: Score = (x) => x.mul(0.9).sin().sub(x.mul(0.4));
    const wanted = await over(termsOf(score, points), 0);
    const data = oracle.sample(20_000, randomStream(5), { backend });
    const error = (await termsOf(score, data).std().item()) / Math.sqrt(20_000);
    expect(Math.abs((await implicitScoreMatching(score, data).item()) - wanted)).toBeLessThan(4 * error);
    expect(error).toBeLessThan(0.01);
  });

  test("does not see an error where there are no data; noise puts weight there", async () => {
    const costs = async (noise: number) => over(bump(points).square().sum(1).mul(0.5), noise);
    const implicit = (await over(termsOf(wrong, points), 0)) - (await over(termsOf(oracle.score, points), 0));
    // e^−36 times the bump's area, and the rounding of numbers of about 4.
    expect(Math.abs(implicit - (await costs(0)))).toBeLessThan(1e-12);
    expect(await costs(0)).toBeLessThan(1e-10);
    expect(await costs(2)).toBeGreaterThan(0.01);
    const data = oracle.sample(1000, randomStream(6), { backend });
    expect(await explicitScoreMatching(wrong, oracle.score, data).item()).toBeLessThan(1e-10);
  });

  test("has a square that wants a flat score, and a trace that wants a steep one: together they want the data's", async () => {
    // On N(0, 1), s = −a x: −a + ½ a². Both signs have the second moment of N(0, 1).
    const signs = tensor([[1], [-1]], { backend });
    for (const a of [0.25, 1, 3]) {
      const [slope] = grad((scale) => implicitScoreMatching((x) => x.mul(scale), signs), [tensor(-a, { backend })]);
      expect(await slope.neg().item()).toBeCloseTo(a - 1, 12);
      const { value, divergence } = exactDivergence((x) => x.mul(-a), signs);
      expect(await divergence.mean().item()).toBeCloseTo(-a, 12);
      expect(await value.square().mean().mul(0.5).item()).toBeCloseTo(a ** 2 / 2, 12);
    }
  });
});

describe("noise and score", () => {
  const schedule = linear(1000);
  const times = [0, 10, 500, 999];

  test("of one datum are each other times −1 / √(1 − ᾱ): ∇log q(x_t | x₀) = −(x_t − √ᾱ x₀) / (1 − ᾱ)", async () => {
    const x0 = [0.7, -0.2];
    const data = tensor([x0], { backend }).expand([4, 2]);
    const { noisy: x, noise } = qSample(schedule, data, times, randomStream(7));
    const levels = times.map((t) => levelAt(schedule, t));
    const score = gaussianOracle({ mean: x0, variance: 0 }).score(x, levels);
    const converted = convertPrediction(schedule, noise, { from: "noise", to: "score", x, times });
    expect(await farthest(score.div(converted), tensor(1, { backend }))).toBeLessThan(1e-9);
  });

  test("of all data are means over q(x₀ | x_t), not over q(x₀)", async () => {
    const [means, weights] = [
      [-1, 2],
      [0.25, 0.75],
    ];
    const oracle = mixtureOracle({ means: means.map((mean) => [mean]), variances: 0, weights });
    const x = tensor([[0.3]], { backend });
    const { signal, noise } = levelAt(schedule, 100);
    const conditional = means.map((mean) => -(0.3 - signal * mean) / noise ** 2);
    const joint = means.map((mean, k) => weights[k] * Math.exp(logNormal(0.3, signal * mean, noise ** 2)));
    const mean = (shares: readonly number[]) =>
      conditional.reduce((sum, score, k) => sum + shares[k] * score, 0) / shares.reduce((a, b) => a + b);
    const score = await oracle.score(x, { signal, noise }).item();
    expect(score).toBeCloseTo(mean(joint), 12);
    expect(score).toBeCloseTo(-(await oracle.predictNoise(x, { signal, noise }).item()) / noise, 12);
    expect(Math.abs(score - mean(weights))).toBeGreaterThan(10);
  });

  test("have the same loss: DDPM's is denoising score matching at σ = √(1 − ᾱ) / √ᾱ, weighted by 2 σ² / d", async () => {
    const x0 = normals(8, [50, 3]);
    const predict = (x: Tensor) => x.mul(0.8).sin();
    for (const t of times) {
      const { signal, noise } = levelAt(schedule, t);
      const sigma = noise / signal;
      const simple = predictionLoss({ forward: predict }, schedule, x0, randomStream(9), {
        timesteps: () => ({ times: new Array<number>(50).fill(t), weights: new Array<number>(50).fill(1) }),
      });
      const score: Score = (y) => predict(y.mul(signal)).mul(-1 / sigma);
      const denoising = await denoisingScoreMatching(score, x0, sigma, randomStream(9)).item();
      expect(((2 * sigma ** 2) / 3) * denoising).toBeCloseTo(await simple.item(), 9);
    }
  });
});

test("the document's last two lines of classifier-free guidance are one γ apart", async () => {
  const model: Model = {
    forward: (x, _, { labels = [] } = {}) =>
      tensor(
        listOf(labels).map((label) => (label === null ? 0 : 1)),
        { backend, shape: x.shape },
      ),
  };
  const guided = (options: { scale: number } | { weight: number }) =>
    classifierFree(model, options)
      .forward(tensor([0], { backend }), [0], { labels: [0] })
      .item();
  expect(await guided({ scale: 2 })).toBe(2); // ε + γ (ε_y − ε)
  expect(await guided({ weight: 2 })).toBe(3); // (γ + 1) ε_y − γ ε
});
