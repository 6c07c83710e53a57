// Consistency functions, discrete and continuous, against the exact ones of Gaussians and points.
import {
  consistencyDistillation,
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  continuousConsistency,
  cosine,
  discretePath,
  discretisationSteps,
  exponential,
  finalSample,
  finalState,
  karras,
  lcm,
  lcmPath,
  linear,
  type Model,
  sample,
  sigmaPath,
  trigDenoiser,
  trigFlowLoss,
} from "@pkg/diffusion";
import { mlp } from "@pkg/nn";
import { cpu, grad, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";
import { levelProbabilities } from "../../../packages/diffusion/src/fewStep/discretisation.ts";
import { listOf } from "../../setup/listOf.ts";
import { column } from "./gaussianFlows.ts";

const backend = cpu({ precision: "float64" });
const [MEAN, VARIANCE, SIGMA_MIN] = [0.7, 0.36, 0.002];

/** The exact denoiser of N(m, s²) under noise σ. */
const denoiser: Model = {
  forward(x, sigmas) {
    const squares = column(x, sigmas).square();
    return x.mul(VARIANCE).add(squares.mul(MEAN)).div(squares.add(VARIANCE));
  },
};
/** How far f shrinks a deviation from the mean: the flow from σ to σ_min is linear on a Gaussian. */
const shrinkage = (sigma: number) => Math.sqrt((VARIANCE + SIGMA_MIN ** 2) / (VARIANCE + sigma ** 2));
const exact: Model = {
  forward: (x, sigmas) =>
    x
      .sub(MEAN)
      .mul(column(x, listOf(sigmas).map(shrinkage)))
      .add(MEAN),
};
const gaussian = (n: number) => randomStream(1).normal([n, 3], { backend, mean: MEAN, std: Math.sqrt(VARIANCE) });

test("a consistency function gives back what it gets at σ_min, whatever its network, and wants no less", async () => {
  const network: Model = { forward: (x) => x.mul(7).add(3) };
  for (const sigmaData of [0.5, 2]) {
    const f = consistencyFunction(network, { sigmaData, sigmaMin: 0.01 });
    const x = tensor([[0.3, -2]], { backend });
    expect([...(await f.forward(x, [0.01]).data())]).toEqual([0.3, -2]);
    expect(() => f.forward(x, [0.009])).toThrow("consistencyFunction: σ[0] is 0.009, want at least σ_min, 0.01");
    // The same numbers from a tensor of σ.
    const [list, tensors] = await Promise.all(
      [[3], tensor([3], { backend })].map(async (sigmas) => (await f.forward(x, sigmas).data()) as Float64Array),
    );
    for (const k of [0, 1]) expect(tensors[k]).toBeCloseTo(list[k], 12);
  }
});

test("consistency training of one point is 0 at the exact function, and so is its gradient", async () => {
  // f = m + σ_min ε at every level of a trajectory of x = m + σ ε.
  const weight = tensor([0, 0, 0], { backend });
  const point: Model = {
    forward: (x, sigmas) =>
      x
        .sub(MEAN)
        .mul(
          column(
            x,
            listOf(sigmas).map((sigma) => SIGMA_MIN / sigma),
          ),
        )
        .add(MEAN)
        .add(weight.mul(x)),
  };
  const x0 = gaussian(50).mul(0).add(MEAN);
  const sigmas = karras(20, { min: SIGMA_MIN, max: 80 });
  const loss = () => consistencyLoss(point, x0, randomStream(2), { sigmas });
  expect(await loss().item()).toBeLessThan(1e-20);
  const [gradient] = grad(loss, [weight]);
  for (const part of await gradient.data()) expect(Math.abs(part)).toBeLessThan(1e-6);
  const off: Model = {
    forward: (x, s) =>
      point.forward(x, s).mul(
        column(
          x,
          listOf(s).map((sigma) => 1 + sigma / 80),
        ),
      ),
  };
  expect(await consistencyLoss(off, x0, randomStream(2), { sigmas }).item()).toBeGreaterThan(1e-3);
});

test.each(["heun", "euler"] as const)(
  "distillation by %s on a Gaussian has the loss that the solver's own error makes at the exact function",
  async (solver) => {
    const sigmas = karras(6, { min: SIGMA_MIN, max: 20 });
    const [x0, noise] = [gaussian(5), randomStream(4).normal([5, 3], { backend })];
    const indices = [0, 1, 2, 3, 4];
    const huber = 0.01;
    const options = { sigmas, solver, indices, noise, huber };
    const value = await consistencyDistillation(exact, denoiser, x0, randomStream(2), options).item();
    const [data, epsilon] = [await x0.data(), await noise.data()];
    const rate = (sigma: number) => sigma / (VARIANCE + sigma ** 2); // (x − D) / σ = rate (x − m)
    const each = indices.map((k) => {
      const [upper, lower] = [sigmas[k], sigmas[k + 1]];
      const euler = 1 + (lower - upper) * rate(upper);
      const heun = 1 + ((lower - upper) / 2) * (rate(upper) + rate(lower) * euler);
      const difference = shrinkage(upper) - shrinkage(lower) * (solver === "heun" ? heun : euler);
      const squares = [0, 1, 2].reduce((sum, i) => {
        const x = data[3 * k + i] + upper * epsilon[3 * k + i];
        return sum + (difference * (x - MEAN)) ** 2;
      }, 0);
      return (Math.sqrt(squares + huber ** 2) - huber) / (upper - lower);
    });
    expect(value).toBeCloseTo(each.reduce((a, b) => a + b) / 5, 12);
  },
);

test("the loss of distillation falls with the number of levels as the solver's error does", async () => {
  const at = (count: number) =>
    consistencyDistillation(exact, denoiser, gaussian(400), randomStream(2), {
      sigmas: exponential(count + 1, { min: SIGMA_MIN, max: 20 }),
      huber: 0,
    }).item();
  // ‖Δ‖ / (σ − σ′) is of order h²: a quarter for twice as many levels.
  const ratio = (await at(200)) / (await at(400));
  expect(ratio).toBeGreaterThan(3.5);
  expect(ratio).toBeLessThan(4.5);
});

test("no gradient goes through the lower level, and the target may be a model of its own", async () => {
  const weight = tensor([2], { backend });
  const model: Model = { forward: (x) => x.mul(weight) };
  const sigmas = [2, 1];
  const [x0, noise] = [tensor([[1]], { backend }), tensor([[1]], { backend })];
  // d(2 · 3, 2 · 2) with c = 0: |w · 3 − 4|, whose slope is 3.
  const loss = (target?: Model) => () =>
    consistencyLoss(model, x0, randomStream(0), { sigmas, noise, huber: 0, indices: [0], target });
  expect(await loss()().item()).toBeCloseTo(2, 12);
  expect(await grad(loss(), [weight])[0].item()).toBeCloseTo(3, 12);
  expect(await loss({ forward: (x) => x.mul(10) })().item()).toBeCloseTo(14, 12);
});

test("levels are drawn as a log-normal σ falls between them", async () => {
  const sigmas = karras(12, { min: 0.002, max: 80 });
  const p = levelProbabilities(sigmas, { mean: -1.1, deviation: 2 });
  expect(p.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
  // Against draws of the normal itself: five standard deviations.
  const n = 200_000;
  const counts = new Float64Array(p.length);
  let inside = 0;
  for (const normal of randomStream(8).host.normal([n])) {
    const sigma = Math.exp(-1.1 + 2 * normal);
    const k = sigmas.findIndex((level, i) => i < p.length && sigma <= level && sigma > sigmas[i + 1]);
    if (k === -1) continue;
    counts[k]++;
    inside++;
  }
  for (const [k, probability] of p.entries())
    expect(Math.abs(counts[k] / inside - probability)).toBeLessThan(5 * Math.sqrt(probability / inside) + 1e-9);
  // Φ in its two forms: symmetric, and known at 1 and 6.
  const [half, tail] = [
    levelProbabilities([Math.exp(1), 1, Math.exp(-1)], { mean: 0, deviation: 1 }),
    levelProbabilities([Math.exp(7), Math.exp(6), 1e-30], { mean: 0, deviation: 1 }),
  ];
  expect(half[0]).toBeCloseTo(0.5, 14);
  expect(tail[0] * 1e10).toBeCloseTo(9.865876450376946 - 0.012798125438858, 5); // Φ(−6) − Φ(−7)
});

test("the number of levels doubles in equal stretches, from 11 to 1281", () => {
  const counts = Array.from({ length: 8 }, (_, k) => discretisationSteps(k * 100, 800));
  expect(counts).toEqual([11, 21, 41, 81, 161, 321, 641, 1281]);
  expect(discretisationSteps(99, 800)).toBe(11);
  expect(discretisationSteps(799, 800)).toBe(1281);
  expect(discretisationSteps(5, 3, { first: 2, last: 5 })).toBe(6);
  // K′ = ⌊1000 / (log₂ 100 + 1)⌋ = 130: the logarithm is not rounded, so that s₁ has the last 90 updates to itself.
  const uneven = [129, 130, 909, 910].map((k) => discretisationSteps(k, 1000, { first: 10, last: 1000 }));
  expect(uneven).toEqual([11, 21, 641, 1001]);
});

/** F of the exact flow of N(0, s²) in TrigFlow, and of its exact consistency function. */
const SIGMA_DATA = 0.5;
const sizeAt = (t: Tensor) =>
  t
    .cos()
    .square()
    .mul(VARIANCE)
    .add(
      t
        .sin()
        .square()
        .mul(SIGMA_DATA ** 2),
    );
const trigVelocity: Model = {
  // dx/dt = ½ (d/dt log var) x, with var = cos² s² + sin² σ_d².
  forward(x, times) {
    const t = column(x, times);
    const rate = t
      .cos()
      .mul(t.sin())
      .mul(SIGMA_DATA ** 2 - VARIANCE)
      .div(sizeAt(t));
    return x.mul(rate); // σ_d F(x / σ_d) = rate x
  },
};
const trigExact: Model = {
  // f = s / √var x = cos t x − sin t σ_d F, so F = (cos t − s / √var) / sin t · x / σ_d, of x / σ_d.
  forward(x, times) {
    const t = column(x, times);
    return x.mul(
      t
        .cos()
        .sub(sizeAt(t).pow(-0.5).mul(Math.sqrt(VARIANCE)))
        .div(t.sin()),
    );
  },
};
const centred = (n: number) => randomStream(1).normal([n, 3], { backend, std: Math.sqrt(VARIANCE) });

test("the exact consistency function of a Gaussian in TrigFlow has no tangent: the loss and its gradient are 0", async () => {
  const weight = tensor([0, 0, 0], { backend });
  const network: Model = { forward: (x, t) => trigExact.forward(x, t).add(weight.mul(x)) };
  for (const normalise of [0.1, false] as const) {
    const loss = () =>
      continuousConsistency(network, centred(200), randomStream(2), { teacher: trigVelocity, normalise });
    expect(await loss().item()).toBeLessThan(1e-25);
    const [gradient] = grad(loss, [weight]);
    for (const part of await gradient.data()) expect(Math.abs(part)).toBeLessThan(1e-12);
  }
  const wrong = { teacher: trigVelocity, normalise: false } as const;
  expect(await continuousConsistency(trigVelocity, centred(200), randomStream(2), wrong).item()).toBeGreaterThan(1e-4);
});

test("without the part with dF/dt the loss is the flow's, and the best flow's tangent is 0 then", async () => {
  const options = { teacher: trigVelocity, warmup: 0, normalise: false } as const;
  expect(await continuousConsistency(trigVelocity, centred(200), randomStream(2), options).item()).toBeLessThan(1e-25);
});

test("training in continuous time follows the tangent cos t df/dt of the pair's own trajectory", async () => {
  // F = w x at one time: df/dt of f = (cos t − w sin t) x along dx/dt = v, by hand.
  const [w, t] = [0.3, 0.8];
  const weight = tensor([w], { backend });
  const network: Model = { forward: (x) => x.mul(weight) };
  const [x0, noise] = [tensor([[0.9]], { backend }), tensor([[-0.4]], { backend })];
  const options = { times: [t], noise, normalise: false } as const;
  const loss = () => continuousConsistency(network, x0, randomStream(0), options);
  const [cos, sin, z] = [Math.cos(t), Math.sin(t), -0.4 * SIGMA_DATA];
  const [x, v] = [cos * 0.9 + sin * z, cos * z - sin * 0.9];
  const tangent = cos * ((-sin - w * cos) * x + (cos - w * sin) * v);
  expect(await loss().item()).toBeCloseTo(tangent ** 2, 12);
  // −2 g dF/dw, where F is of x / σ_d.
  expect(await grad(loss, [weight])[0].item()).toBeCloseTo((-2 * tangent * x) / SIGMA_DATA, 12);
});

test("the loss of TrigFlow's diffusion is the variance of its velocity at the exact one", async () => {
  const [n, t] = [20_000, 0.6];
  const value = await trigFlowLoss(trigVelocity, centred(n), randomStream(2), { times: new Array(n).fill(t) }).item();
  const [cos, sin] = [Math.cos(t), Math.sin(t)];
  const [noise, data] = [SIGMA_DATA ** 2, VARIANCE];
  const covariance = cos * sin * (noise - data);
  const variance = cos ** 2 * noise + sin ** 2 * data - covariance ** 2 / (cos ** 2 * data + sin ** 2 * noise);
  expect(Math.abs(value - variance)).toBeLessThan(5 * variance * Math.sqrt(2 / (3 * n)));
});

test("a network's denoiser in TrigFlow is x at t = 0, and the exact F's is the exact function", async () => {
  const x = tensor([[0.3, -1.2]], { backend });
  const f = trigDenoiser({ forward: (at) => at.mul(5) });
  expect([...(await f.forward(x, [0]).data())]).toEqual([0.3, -1.2]);
  const out = await trigDenoiser(trigExact)
    .forward(x, [Math.PI / 2])
    .data();
  for (const [k, value] of [0.3, -1.2].entries())
    expect(out[k]).toBeCloseTo((value * Math.sqrt(VARIANCE)) / SIGMA_DATA, 12);
});

test("multistep sampling by the exact consistency function draws the Gaussian at σ_min from any levels", async () => {
  const n = 20_000;
  for (const sigmas of [[80], [80, 2], [80, 5, 0.3]]) {
    const sampler = consistencyMultistep(sigmaPath(sigmas), { sigmaMin: SIGMA_MIN });
    const x = await finalSample(sample(sampler, exact, [n, 1], randomStream(3), { backend }));
    const mean = await x.mean().item();
    const variance = await x.sub(mean).square().mean().item();
    // The prior N(0, 80²) is not q_80, whose mean is m and whose variance 80² + s²: f takes their difference for 1e-4 and less.
    expect(Math.abs(mean - MEAN)).toBeLessThan(5 * Math.sqrt(VARIANCE / n) + (MEAN * 0.6) / 80);
    expect(Math.abs(variance / VARIANCE - 1)).toBeLessThan(5 * Math.sqrt(2 / n) + VARIANCE / 80 ** 2);
  }
});

test("each step but the last adds √(σ² − σ_min²) of new noise, and a run goes on where it was stopped", async () => {
  const zero: Model = { forward: (x) => x.mul(0) };
  const path = sigmaPath([3, 0.5]);
  const run = () =>
    sample(consistencyMultistep(path, { sigmaMin: 0.3 }), zero, [4000, 1], randomStream(3), { backend, until: 1 });
  const state = await finalState(run());
  const size = await state.x.square().mean().item();
  expect(Math.abs(size / 0.16 - 1)).toBeLessThan(5 * Math.sqrt(2 / 4000));

  const model = mlp({ sizes: [2, 8, 2], timeChannels: 4 }, { rng: randomStream(0), backend: cpu() });
  const levels = lcmPath(cosine(100), { steps: 4 });
  const rng = randomStream(6);
  const whole = await (await finalSample(sample(lcm(levels), model, [3, 2], rng))).data();
  const first = randomStream(6);
  const from = await finalState(sample(lcm(levels), model, [3, 2], first, { until: 3 }));
  expect(await (await finalSample(sample(lcm(levels), model, [3, 2], first, { from }))).data()).toEqual(whole);
});

test("LCM asks at 999, 759, 499 and 259 of 1000 steps, and x̂ is the prediction's but near the data", async () => {
  const schedule = linear(1000);
  const path = lcmPath(schedule, { steps: 4, prediction: "data" });
  expect(path.levels.map(({ t }) => t)).toEqual([999, 759, 499, 259, -1]);
  expect(lcmPath(schedule, { steps: 3, originalSteps: 10 }).levels.map(({ t }) => t)).toEqual([999, 699, 399, -1]);
  const one: Model = { forward: (x) => x.mul(0).add(1) };
  const from = { x: tensor([[5]], { backend }) };
  const last = discretePath(schedule, { times: [1], prediction: "data" });
  const [near, far] = await Promise.all(
    [last, discretePath(schedule, { times: [999], prediction: "data" })].map(async (levels) =>
      (await finalSample(sample(lcm(levels), one, [1, 1], randomStream(0), { from }))).item(),
    ),
  );
  // s = 10, σ_d = ½: c_skip = ¼ / 100.25, c_out = 10 / √100.25.
  expect(near).toBeCloseTo((5 * 0.25) / 100.25 + 10 / Math.sqrt(100.25), 12);
  expect(far).toBeCloseTo(1, 6);
});
