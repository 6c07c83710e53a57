// Diffusions in continuous time: their marginals, the paths along them, and their samplers on data whose score is known.
import {
  euler,
  eulerMaruyama,
  finalSample,
  gaussianOracle,
  heun,
  oracleModel,
  oraclePath,
  predictorCorrector,
  reverseDiffusion,
  rungeKutta,
  type Sde,
  type SdePathOptions,
  sample,
  sdePath,
  sigmaOf,
  subVpSde,
  verifySampler,
  veSde,
  vpSde,
} from "@pkg/diffusion";
import { cpu, randomStream, type Tensor, wasm } from "@pkg/tensor";
import { describe, expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const sdes: [string, Sde][] = [
  ["VP", vpSde()],
  ["sub-VP", subVpSde()],
  ["VE", veSde()],
];
const data = gaussianOracle({ mean: [0.3], variance: 0.25 });
const gaussianPath = (sde: Sde, options: SdePathOptions) => oraclePath(sdePath(sde, options), data);

describe.each(sdes)("%s", (_, sde) => {
  test("the marginal obeys the equations of its moments: signal′ = f signal, (noise²)′ = 2 f noise² + g²", () => {
    for (const t of [0.01, 0.2, 0.5, 0.9]) {
      const h = 1e-5;
      const [before, here, after] = [t - h, t, t + h].map(sde.level);
      const slope = (of: (level: typeof here) => number) => (of(after) - of(before)) / (2 * h);
      // Central differences: h² times a third derivative below 1e4 of the value, and rounding over h.
      const f = sde.drift(t);
      expect(slope(({ signal }) => signal)).toBeCloseTo(f * here.signal, 5);
      const growth = 2 * f * here.noise ** 2 + sde.diffusion(t) ** 2;
      expect(slope(({ noise }) => noise ** 2) / growth).toBeCloseTo(1, 5);
    }
  });

  test("the time of a σ is where noise / signal is σ; beyond the ends it is the end", () => {
    for (const t of [0.003, 0.25, 0.7, 1]) expect(sde.time(sigmaOf(sde.level(t)))).toBeCloseTo(t, 10);
    expect(sde.time(1e6)).toBe(1);
    expect(sde.time(1e-9)).toBeCloseTo(0, 6);
  });

  test("with the exact score the reverse SDE by Euler and Maruyama tends to the data", async () => {
    const { runs, order } = await verifySampler((steps) => eulerMaruyama(gaussianPath(sde, { steps })), data, {
      steps: [50, 100, 200, 400],
    });
    // On VE's geometric σ the terms of first order add up to ∫ (u − 1) / (1 + u)³ du = 0 with u = σ² / variance.
    const wanted = sde.drift(1) === 0 ? 2 : 1;
    expect(Math.abs((order ?? 0) - wanted)).toBeLessThan(0.3);
    expect(runs[3].error).toBeLessThan(0.03);
    expect(runs[3].error).toBeLessThan(runs[0].error);
  });

  test("reverse diffusion too", async () => {
    const { order, runs } = await verifySampler((steps) => reverseDiffusion(gaussianPath(sde, { steps })), data, {
      steps: [50, 100, 200, 400],
    });
    expect(Math.abs((order ?? 0) - 1)).toBeLessThan(0.3);
    expect(runs[3].error).toBeLessThan(0.03);
  });

  test("the solvers of the ODE have their orders", async () => {
    for (const [solver, wanted] of [
      [euler, 1],
      [heun, 2],
      [rungeKutta, 4],
    ] as const) {
      const { order } = await verifySampler(
        (steps) => solver(gaussianPath(sde, { steps, spacing: "logSnr", end: "smallest time" })),
        data,
        { steps: [32, 64, 128, 256] },
      );
      expect(Math.abs((order ?? 0) - wanted)).toBeLessThan(0.2);
    }
  });

  test("t outside [0, 1] is refused", () => {
    for (const at of [sde.drift, sde.diffusion, sde.level])
      for (const t of [-0.1, 1.1, Number.NaN]) expect(() => at(t)).toThrow(`t is ${t}, want a number in [0, 1]`);
    expect(() => sde.time(0)).toThrow("want a positive number");
  });
});

test("one step of Euler and Maruyama's method is the formula's", async () => {
  const path = gaussianPath(vpSde(), { steps: 2, end: "smallest time", smallestTime: 0.2 });
  const { runs } = await verifySampler(eulerMaruyama(path), data);
  let [mean, variance] = [0, 1];
  for (const [t, next] of [
    [1, 0.6],
    [0.6, 0.2],
  ]) {
    const beta = 0.1 + 19.9 * t;
    const alphaBar = Math.exp(-(0.1 * t + 9.95 * t * t));
    const spread = alphaBar * 0.25 + 1 - alphaBar;
    // x′ = x + (β/2 x + β s) Δt + √(β Δt) z, s = −(x − √ᾱ m) / spread
    const factor = 1 + (t - next) * (beta / 2 - beta / spread);
    mean = factor * mean + ((t - next) * beta * Math.sqrt(alphaBar) * 0.3) / spread;
    variance = factor ** 2 * variance + beta * (t - next);
  }
  expect(runs[0].mean).toBeCloseTo(mean, 12);
  expect(runs[0].variance / variance).toBeCloseTo(1, 12);
});

test("reverse diffusion on σ-levels is x + (σ² − σ′²) s + √(σ² − σ′²) z", async () => {
  const path = gaussianPath(veSde({ sigmaMin: 1, sigmaMax: 4 }), {
    steps: 1,
    end: "smallest time",
    smallestTime: 0.5,
  });
  const { runs } = await verifySampler(reverseDiffusion(path), data);
  const factor = 1 - (16 - 4) / (0.25 + 16);
  expect(runs[0].variance).toBeCloseTo(factor ** 2 * 16 + 12, 12);
  expect(runs[0].mean).toBeCloseTo((12 / 16.25) * 0.3, 12);
});

test("the drift and marginals of VP are DDPM's: 1,000 steps of β(t) / 1000 multiply to the signal", () => {
  const sde = vpSde();
  let alphaBar = 1;
  for (let k = 1; k <= 1000; k++) alphaBar *= 1 - (0.1 + (19.9 * (k - 0.5)) / 1000) / 1000;
  // Each factor is off by β² / 2 ≤ 2e-4 / 2, in sum 0.07.
  expect(Math.log(alphaBar) / (2 * Math.log(sde.level(1).signal))).toBeCloseTo(1, 1);
  expect(sde.level(1).signal).toBeCloseTo(Math.exp(-5.025), 12);
  expect(subVpSde().level(0.5).noise).toBeCloseTo(sde.level(0.5).noise ** 2, 12);
  expect([sde.level(1).t, veSde().level(1).t]).toEqual([999, expect.closeTo(50, 10)]);
});

test("a path ends at the data or at the smallest time, spaced as asked", () => {
  const sde = vpSde();
  expect(sdePath(sde, { steps: 3 }).times).toEqual([1, expect.closeTo(0.5005, 12), 1e-3, 0]);
  expect(sdePath(sde, { steps: 2, end: "smallest time" }).times).toEqual([1, expect.closeTo(0.5005, 12), 1e-3]);
  expect(sdePath(sde, { steps: 1 }).times).toEqual([1, 0]);
  const quadratic = sdePath(sde, { steps: 3, spacing: "quadratic", smallestTime: 0.04 }).times;
  expect(quadratic[1]).toBeCloseTo(0.36, 12);
  const { levels } = sdePath(sde, { steps: 5, spacing: "logSnr" });
  const logs = levels.slice(0, 5).map((level) => Math.log(sigmaOf(level)));
  for (const k of [1, 2, 3]) expect(logs[k - 1] - logs[k]).toBeCloseTo(logs[k] - logs[k + 1], 9);
  expect(levels[5]).toEqual({ t: 0, signal: 1, noise: 0 });
  expect(veSde().smallestTime).toBe(1e-5);
});

test("a path reads a score", async () => {
  const path = sdePath(vpSde(), { steps: 4 });
  const [level] = path.levels.slice(2);
  const [x0, noise] = [0.7, -1.2].map((value) => randomStream(0).normal([1], { backend, mean: value, std: 0 }));
  const x = x0.mul(level.signal).add(noise.mul(level.noise));
  expect(await path.denoise(noise.mul(-1 / level.noise), x, level).item()).toBeCloseTo(0.7, 6);
});

test("a corrector brings the predictor's samples nearer to the data", async () => {
  const path = gaussianPath(veSde(), { steps: 20 });
  const draws = 20_000;
  const fast = await wasm();
  const measure = async (sampler: ReturnType<typeof euler>) => {
    const { runs } = await verifySampler(sampler, data, { draws, backend: fast });
    return runs[0];
  };
  const predictor = reverseDiffusion(path);
  const alone = await measure(predictor);
  for (const first of ["predictor", "corrector"] as const) {
    const corrected = await measure(predictorCorrector(predictor, path, { first, corrections: 2 }));
    const standardError = corrected.standardErrors?.variance ?? Number.NaN;
    expect(Math.abs(alone.variance - 0.25)).toBeGreaterThan(Math.abs(corrected.variance - 0.25) + 4 * standardError);
  }
});

test("a corrector that comes first stands where x is, one that comes second where the predictor led", async () => {
  const path = sdePath(vpSde(), { steps: 3 });
  const asked = async (first: "predictor" | "corrector") => {
    const times: number[] = [];
    const model = {
      forward(x: Tensor, [t]: readonly number[]) {
        times.push(path.levels.findIndex((level) => level.t === t));
        return x.mul(-1);
      },
    };
    const sampler = predictorCorrector(reverseDiffusion(path), path, { first });
    await finalSample(sample(sampler, model, [2, 2], randomStream(0), { backend }));
    return times;
  };
  expect(await asked("predictor")).toEqual([0, 1, 1, 2, 2]);
  expect(await asked("corrector")).toEqual([0, 0, 1, 1, 2, 2]);
});

test("of one step the corrector that comes first is a Langevin step, and then the predictor's step", async () => {
  const path = sdePath(vpSde(), { steps: 1 });
  const model = { forward: (x: Tensor) => x.mul(-0.9) };
  const sampler = predictorCorrector(euler(path), path, { first: "corrector", snr: 0.3 });
  const start = randomStream(1).normal([4, 3], { backend });
  const found = await finalSample(sample(sampler, model, [4, 3], randomStream(2), { from: { x: start } }));
  const noise = randomStream(2).normal([4, 3], { backend });
  const [score, [level]] = [start.mul(-0.9), path.levels];
  const norm = (vectors: Tensor) => vectors.square().sum(1).sqrt().mean();
  // √(ε / 2) = r √α ‖z‖ / ‖s‖, where α is the square of the signals' ratio, here to the data's signal of 1.
  const root = norm(noise)
    .div(norm(score))
    .mul(0.3 * level.signal);
  const corrected = start.add(score.mul(root.square().mul(2))).add(noise.mul(root.mul(2)));
  const wanted = await finalSample(sample(euler(path), model, [4, 3], randomStream(2), { from: { x: corrected } }));
  expect(await found.sub(wanted).abs().max().item()).toBeLessThan(1e-12);
});

test("where noise is little the score keeps its digits in float32, since it is read without x̂₀", async () => {
  // At t = 1e-3 sub-VP's noise is 1.1e-4: by way of x̂₀ the score would be off by 6e-8 / 1.2e-8 of x's unit.
  const path = sdePath(subVpSde(), { steps: 50 });
  const sampler = predictorCorrector(reverseDiffusion(path), path);
  const model = oracleModel(data, (t) => subVpSde().level(t / 999), "score");
  const [exact, single] = await Promise.all(
    [backend, cpu()].map(async (on) =>
      (await finalSample(sample(sampler, model, [64, 1], randomStream(5), { backend: on }))).data(),
    ),
  );
  for (const [k, x] of exact.entries()) expect(Math.abs(x - single[k])).toBeLessThan(1e-4);
});

test("with norms of its own a sample does not see its batch", async () => {
  const vectors = gaussianOracle({ variance: 0.25, shape: [3] });
  const path = oraclePath(sdePath(vpSde(), { steps: 5 }), vectors);
  const sampler = predictorCorrector(reverseDiffusion(path), path, { norms: "sample", snr: 0.05 });
  const identity = { forward: (x: Tensor) => x };
  const draw = async (batch: number) =>
    (await finalSample(sample(sampler, identity, [batch, 3], randomStream(1), { backend }))).data();
  const [small, large] = [await draw(2), await draw(5)];
  expect(large.slice(0, 6)).toEqual(small);
});

test("bad options are refused", () => {
  const path = gaussianPath(vpSde(), { steps: 4 });
  expect(() => sdePath(vpSde(), { steps: 0 })).toThrow("sdePath: 0 steps, want a positive integer");
  expect(() => sdePath(vpSde(), { smallestTime: 0 })).toThrow("smallestTime is 0, want a number in (0, 1)");
  expect(() => vpSde({ betaMin: 2, betaMax: 1 })).toThrow("vpSde: β from 2 to 1, want 0 ≤ betaMin < betaMax");
  expect(() => veSde({ sigmaMin: 0 })).toThrow("veSde: σ from 0 to 50, want 0 < sigmaMin < sigmaMax");
  expect(() => predictorCorrector(euler(path), path, { snr: 0 })).toThrow("snr is 0, want a positive number");
  expect(() => predictorCorrector(euler(path), path, { corrections: 0 })).toThrow("0 corrections, want a positive");
  expect(() => predictorCorrector(euler(path), gaussianPath(veSde(), { steps: 4 }))).toThrow("other levels than");
});
