// The variational bound against what is known of Gaussian data, and the losses that estimate it.
import {
  alphaBarAt,
  analytic,
  bitsPerDim,
  boundLoss,
  boundTerms,
  cosine,
  fixedLarge,
  fixedSmall,
  gaussianDecoder,
  hybridLoss,
  learnedRange,
  linear,
  type Model,
  nll,
  noiseVarianceAt,
  posterior,
  predictionLoss,
  priorTerm,
  qSample,
  respace,
  type Schedule,
  scaledLinear,
  sigmoid,
  spacedTimes,
  variationalWeight,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { type Backend, concat, cpu, grad, randomStream, type Tensor, tensor, webgpu, zeros } from "@pkg/tensor";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";

const exact = cpu({ precision: "float64" });
const VARIANCE = 0.25;

/** E[ε | x_t] of data from N(0, 1/4). */
function gaussianModel(schedule: Schedule): Model {
  return {
    forward(x, [t]: readonly number[]) {
      const alphaBar = alphaBarAt(schedule, t);
      return x.mul(Math.sqrt(1 - alphaBar) / (alphaBar * VARIANCE + 1 - alphaBar));
    },
  };
}

/** E (x₀ − E[x₀ | x_t])². */
function remaining(schedule: Schedule, t: number): number {
  const [signal, noise] = [alphaBarAt(schedule, t), noiseVarianceAt(schedule, t)];
  return (VARIANCE * noise) / (signal * VARIANCE + noise);
}

describe("L_T in bits per dimension, at data of 1", () => {
  test.each([
    ["linear", linear(1000), 2.91e-5, 2],
    ["cosine", cosine(1000), 1.75e-9, 2],
    ["sigmoid", sigmoid(1000), 2.2e-7, 1],
    ["scaledLinear", scaledLinear(1000), 3.37e-3, 2],
  ])("is the published one of the %s schedule", async (_, schedule, wanted, digits) => {
    const x0 = tensor([[1, 1, 1, 1]], { backend: exact });
    const bits = bitsPerDim(await priorTerm(schedule, x0).item(), 4);
    expect(bits / wanted).toBeCloseTo(1, digits);
  });

  test("is 0 where no signal is left", async () => {
    const x0 = tensor([[1, -3]], { backend: exact });
    expect(await priorTerm(zeroTerminalSnr(linear(1000)), x0).item()).toBe(0);
  });
});

test.each([
  ["β̃", fixedSmall(), (schedule: Schedule, t: number) => posterior(schedule, t).variance],
  ["β", fixedLarge(), (schedule: Schedule, t: number) => schedule.betas[t]],
] as const)(
  "with the exact model and variance %s every term is the divergence in closed form",
  async (_, variance, of) => {
    const schedule = cosine(12);
    const x0 = randomStream(1).normal([4000, 1], { backend: exact, std: Math.sqrt(VARIANCE) });
    const found = await nll(gaussianModel(schedule), schedule, x0, randomStream(2), {
      variance,
      decoder: gaussianDecoder(),
    });
    let sum = 0;
    for (let t = 0; t < 12; t++) {
      const q = posterior(schedule, t);
      const first = posterior(schedule, 1).variance; // β̃_2 in the first step
      const [small, sigma2] = t === 0 ? [first, first] : [q.variance, of(schedule, t)];
      const nats =
        t === 0
          ? 0.5 * (remaining(schedule, 0) / sigma2 + Math.log(2 * Math.PI * sigma2))
          : 0.5 * (small / sigma2 - 1 - Math.log(small / sigma2) + (q.fromData ** 2 * remaining(schedule, t)) / sigma2);
      sum += nats / Math.LN2;
      const { mean, standardError } = found.terms[t];
      expect(Math.abs(mean - nats / Math.LN2)).toBeLessThan(5 * standardError);
    }
    const last = alphaBarAt(schedule, 11);
    const prior = (0.5 * (last * VARIANCE - last - Math.log1p(-last))) / Math.LN2;
    expect(Math.abs(found.prior.mean - prior)).toBeLessThan(5 * found.prior.standardError);
    expect(Math.abs(found.total.mean - sum - prior)).toBeLessThan(5 * found.total.standardError);
    expect(found.total.standardError).toBeLessThan(0.05);
    expect(found.nats.mean).toBeCloseTo(found.total.mean * Math.LN2, 12);
    expect(found.samples.reduce((a, b) => a + b, 0) / 4000).toBeCloseTo(found.total.mean, 12);
  },
);

test.each([1, 2, 10])("with the exact model and the optimal variance the bound of %i steps is tight", async (steps) => {
  // Each reverse step is then the true one, and what is left of the gap is that x_T is not from N(0, 1).
  const schedule = respace(linear(1000), spacedTimes(1000, steps, "trailing"));
  const energies = Float64Array.from(
    { length: steps },
    (_, t) => 1 - (alphaBarAt(schedule, t) / noiseVarianceAt(schedule, t)) * remaining(schedule, t),
  );
  const x0 = randomStream(3).normal([4000, 2], { backend: exact, std: Math.sqrt(VARIANCE) });
  const { total } = await nll(gaussianModel(schedule), schedule, x0, randomStream(4), {
    variance: analytic(energies, { range: null }),
    decoder: gaussianDecoder(),
  });
  const end = alphaBarAt(schedule, steps - 1) * (VARIANCE - 1); // Var x_T − 1
  const entropy = 0.5 * Math.log(2 * Math.PI * Math.E * VARIANCE);
  const wanted = (entropy + 0.5 * (end - Math.log1p(end))) / Math.LN2;
  expect(Math.abs(total.mean - wanted)).toBeLessThan(5 * total.standardError);
  expect(total.standardError).toBeLessThan(0.02);
});

test("with the posterior's own variance L_{t−1} is the weighted error of the noise", async () => {
  const schedule = linear(1000);
  const x0 = randomStream(5).normal([3, 8], { backend: exact });
  const model = { forward: (x: Tensor) => x.mul(0.3).add(0.1) };
  const times = [1, 300, 999];
  const { noisy, noise } = qSample(schedule, x0, times, randomStream(6));
  const terms = await boundTerms(model, schedule, { x0, x: noisy, times }).data();
  const errors = await model.forward(noisy).sub(noise).square().sum(1).data();
  for (const [i, t] of times.entries()) {
    expect(terms[i] / (variationalWeight()(schedule, t) * errors[i])).toBeCloseTo(1, 8);
  }
});

const images = (backend: Backend, batch: number) =>
  randomStream(7)
    .uniform([batch, 4, 4, 2], { backend, low: 0, high: 256 })
    .floor()
    .affine(2 / 255, -1);

test("of a batch at mixed steps each sample has its own term, the first step the decoder's", async () => {
  const schedule = linear(100);
  const x0 = images(exact, 4);
  const model = { forward: (x: Tensor) => x.mul(0.5) };
  const times = [0, 50, 0, 99];
  const { noisy: x } = qSample(schedule, x0, times, randomStream(8));
  const together = await boundTerms(model, schedule, { x0, x, times }).data();
  for (const [i, t] of times.entries()) {
    const [one, noisy] = [x0, x].map((all) => all.slice([i, i + 1]));
    expect(await boundTerms(model, schedule, { x0: one, x: noisy, times: [t] }).item()).toBeCloseTo(together[i], 10);
  }
});

const backends = [
  { name: "cpu", open: async () => cpu() as Backend, skip: false },
  { name: "webgpu", open: () => webgpu() as Promise<Backend>, skip: !gpuAvailable },
];

describe.each(backends.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await open();
  });
  afterAll(() => backend.dispose?.());

  test("the bound is that of float64", async () => {
    const schedule = respace(linear(1000), spacedTimes(1000, 20, "trailing"));
    const model = { forward: (x: Tensor) => concat([x.mul(0.9), x.mul(0.2)], -1) };
    const of = (backend: Backend) =>
      nll(model, schedule, images(backend, 4), randomStream(9), { variance: learnedRange() });
    const [found, wanted] = [await of(backend), await of(exact)];
    for (const [t, term] of found.terms.entries()) {
      expect(Math.abs(term.mean - wanted.terms[t].mean)).toBeLessThan(1e-4 * (1 + wanted.terms[t].mean));
    }
  });
});

test("the bound's loss is, on average, what nll adds up", async () => {
  const schedule = cosine(8);
  const x0 = images(exact, 64);
  const model = { forward: (x: Tensor) => x.mul(0.6) };
  const wanted = await nll(model, schedule, x0, randomStream(10), { repeats: 20 });
  const losses: number[] = [];
  const rng = randomStream(11);
  for (let k = 0; k < 60; k++) losses.push(await boundLoss(model, schedule, x0, rng, { clip: true }).item());
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  const error = Math.sqrt(
    losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / losses.length / (losses.length - 1),
  );
  expect(Math.abs(mean - wanted.total.mean)).toBeLessThan(5 * Math.hypot(error, wanted.total.standardError));
  expect(error).toBeLessThan(0.1 * mean);
});

describe.each(backends.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  test("the hybrid loss has float64's gradient, and gradient of that", async () => {
    const backend = await open();
    const schedule = linear(50);
    const slopes = async (backend: Backend) => {
      const x0 = images(backend, 16);
      const loss = (a: Tensor, b: Tensor) =>
        hybridLoss({ forward: (x) => concat([x.mul(a), x.mul(b)], -1) }, schedule, x0, randomStream(12), { lambda: 1 });
      const weights = [0.7, 0.1].map((value) => tensor(value, { backend }));
      const first = grad(loss, weights);
      const second = grad((b) => grad((b) => loss(weights[0], b), [b])[0], [weights[1]]);
      return Promise.all([...first, ...second].map((slope) => slope.item()));
    };
    const [found, wanted] = [await slopes(backend), await slopes(exact)];
    // Sums of 512 terms with roundings of 2⁻²⁴ · 1e3 at the decoder's steepest, which partly cancel.
    for (const [i, slope] of found.entries()) expect(Math.abs(slope / wanted[i] - 1)).toBeLessThan(1e-3);
    backend.dispose?.();
  });
});

describe("the hybrid loss", () => {
  const schedule = linear(50);
  const x0 = images(exact, 16);
  const model = (ofNoise: Tensor, ofVariance: Tensor): Model => ({
    forward: (x) => concat([x.mul(ofNoise), x.mul(ofVariance)], -1),
  });
  const [a, b] = [0.7, 0.1].map((value) => tensor(value, { backend: exact }));

  test("is L_simple and λ times T E L_t in bits per dimension", async () => {
    const draw = { rng: () => randomStream(12) };
    const whole = await hybridLoss(model(a, b), schedule, x0, draw.rng(), { lambda: 0.01 }).item();
    const simple = await hybridLoss(model(a, b), schedule, x0, draw.rng(), { lambda: 0 }).item();
    const bound = await boundLoss(model(a, b), schedule, x0, draw.rng(), { variance: learnedRange() }).item();
    const prior = bitsPerDim(await priorTerm(schedule, x0).mean().item(), 32);
    expect(whole).toBeCloseTo(simple + 0.01 * (bound - prior), 10);
    const noise = await predictionLoss({ forward: (x) => x.mul(a) }, schedule, x0, draw.rng()).item();
    expect(simple).toBeCloseTo(noise, 12);
  });

  test("trains the mean by L_simple alone, and the variance by the bound", async () => {
    const f = (lambda: number) => (a: Tensor, b: Tensor) =>
      hybridLoss(model(a, b), schedule, x0, randomStream(12), { lambda });
    const [simple, hybrid] = [grad(f(0), [a, b]), grad(f(0.01), [a, b])];
    expect(await hybrid[0].item()).toBeCloseTo(await simple[0].item(), 12);
    expect(await simple[1].item()).toBe(0);
    const at = (b: number) => f(0.01)(a, tensor(b, { backend: exact })).item();
    const wanted = ((await at(0.1 + 1e-5)) - (await at(0.1 - 1e-5))) / 2e-5;
    expect((await hybrid[1].item()) / wanted).toBeCloseTo(1, 6);
    expect(Math.abs(wanted)).toBeGreaterThan(1e-4);
  });

  test("refuses a λ that is no weight, and a variance that is fixed", () => {
    for (const lambda of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => hybridLoss(model(a, b), schedule, x0, randomStream(0), { lambda })).toThrow(
        `hybridLoss: λ is ${lambda}, want a finite number from 0 on`,
      );
    }
    expect(() => hybridLoss(model(a, b), schedule, x0, randomStream(0), { variance: fixedSmall() })).toThrow(
      "hybridLoss: the variance is fixed, want a learned one",
    );
    const narrow = { forward: (x: Tensor) => x };
    expect(() => hybridLoss(narrow, schedule, x0, randomStream(0))).toThrow(
      "splitVariance: the model's output is [16,4,4,2] for x [16,4,4,2], want [16,4,4,4]",
    );
  });
});

test("nll refuses what it cannot judge, and says which step failed", async () => {
  const schedule = linear(5);
  const model = { forward: (x: Tensor) => x };
  const rng = randomStream(0);
  await expect(nll(model, schedule, zeros([2, 2], { backend: exact }), rng)).rejects.toThrow(
    "discretisedDecoder: data lies 0.5 of a step beside the 256 levels",
  );
  const x0 = images(exact, 2);
  await expect(nll(model, schedule, x0.mul(2), rng)).rejects.toThrow("want it in [−1, 1]");
  await expect(nll(model, schedule, x0, rng, { repeats: 0 })).rejects.toThrow(
    "nll: repeats is 0, want a positive integer",
  );
  const broken = { forward: (x: Tensor, [t]: readonly number[]) => (t === 3 ? x.mul(Number.NaN) : x) };
  await expect(nll(broken, schedule, x0, rng)).rejects.toThrow(
    "nll: the model's output at step 3 has 64 elements that are NaN or infinite, want finite ones",
  );
  const one = await nll(model, schedule, images(exact, 1), rng);
  expect(one.total.standardError).toBe(Number.POSITIVE_INFINITY);
});
