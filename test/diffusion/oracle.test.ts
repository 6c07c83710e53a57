// Oracles: everything they say follows from their density, which integrates to one, and agrees with their samples.
import {
  banana,
  checkerboard,
  convertPrediction,
  cosine,
  type Density,
  ddim,
  discretePath,
  eightGaussians,
  euler,
  exactDivergence,
  finalSample,
  gaussianOracle,
  karras,
  linear,
  type MixtureOracle,
  mixtureOracle,
  type Noising,
  type Oracle,
  oracleModel,
  oracleScore,
  type Prediction,
  ring,
  sample,
  sigmaPath,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { type Backend, cpu, grad, liveTensors, randomStream, type Tensor, tensor, wasm, webgpu } from "@pkg/tensor";
import { afterAll, describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";
import { heldTensors } from "../setup/heldTensors.ts";

const exact = cpu({ precision: "float64" });
const COVARIANCE = [
  [2, 0.6, -0.3],
  [0.6, 1, 0.2],
  [-0.3, 0.2, 0.5],
];

const mixtures: Readonly<Record<string, MixtureOracle | Oracle>> = {
  "a Gaussian": gaussianOracle({ mean: [1, -2], variance: [0.5, 2] }),
  "a correlated Gaussian": gaussianOracle({ mean: [1, 0, -1], covariance: COVARIANCE }),
  "a mixture": mixtureOracle({
    weights: [1, 3, 2],
    means: [
      [-1, 0],
      [1, 0.5],
      [0, 2],
    ],
    variances: [0.3, [0.1, 0.6], 0.2],
  }),
  "a mixture with covariances": mixtureOracle({
    weights: [0.3, 0.7],
    means: [
      [-1, 0, 0],
      [1, 0.5, -0.5],
    ],
    covariances: [
      COVARIANCE,
      [
        [0.5, 0, 0.1],
        [0, 0.7, 0],
        [0.1, 0, 0.4],
      ],
    ],
  }),
  "images of two kinds": mixtureOracle({
    means: [new Float64Array(8).fill(0.5), new Float64Array(8).fill(-0.5)],
    variances: 0.2,
    shape: [2, 2, 2],
  }),
  "eight Gaussians": eightGaussians({ deviation: 0.3 }),
  "a ring": ring(),
  "a checkerboard": checkerboard(),
};
const names = Object.keys(mixtures);

const largest = (x: Tensor) => x.abs().max().item();
const apart = (a: Tensor, b: Tensor) => {
  expect(a.shape).toEqual(b.shape);
  return largest(a.sub(b));
};
const pointsOf = ({ shape }: Density, backend: Backend = exact) => randomStream(1).normal([6, ...shape], { backend });
const LEVELS: readonly Noising[] = [
  { signal: 1, noise: 0.5 },
  { signal: 0.8, noise: 0.6 },
  { signal: 0.1, noise: 1 },
  { signal: 1, noise: 20 },
  { signal: 0, noise: 1 },
  { signal: 0.999, noise: 0.01 },
];

describe.each(names)("%s", (name) => {
  const oracle = mixtures[name];
  const x = pointsOf(oracle);

  test("has the slope of its log density for score, and the score's divergence", async () => {
    for (const levels of [undefined, LEVELS[1], LEVELS]) {
      const score = (y: Tensor) => oracle.score(y, levels);
      const [slope] = grad((y) => oracle.logDensity(y, levels).sum(), [x]);
      const scale = 1 + (await largest(slope));
      expect(await apart(score(x), slope)).toBeLessThan(1e-10 * scale);
      const { divergence } = exactDivergence(score, x);
      expect(await apart(oracle.divergence(x, levels), divergence)).toBeLessThan(1e-9 * scale ** 2);
    }
  });

  test("obeys Tweedie's formula: E[x₀ | x] = (x + b² ∇log q) / a and E[ε | x] = −b ∇log q", async () => {
    for (const level of LEVELS) {
      const score = oracle.score(x, level);
      const { signal, noise } = level;
      expect(await apart(oracle.predictNoise(x, level), score.mul(-noise))).toBeLessThan(1e-9);
      const denoised = oracle.denoise(x, level);
      if (signal > 0)
        expect(await apart(denoised, x.add(score.mul(noise ** 2)).div(signal))).toBeLessThan(1e-9 * noise ** 2 + 1e-9);
      expect(await apart(x, denoised.mul(signal).add(oracle.predictNoise(x, level).mul(noise)))).toBeLessThan(1e-9);
    }
  });

  test("knows its ends: at noise 0 the data, at signal 0 its mean", async () => {
    const clean = { signal: 0.5, noise: 0 };
    expect(await apart(oracle.denoise(x, clean), x.mul(2))).toBeLessThan(1e-9);
    expect(await largest(oracle.predictNoise(x, clean))).toBe(0);
    const lost = { signal: 0, noise: 2 };
    const mean = tensor(oracle.mean, { backend: exact, shape: [1, ...oracle.shape] }).expand(x.shape);
    expect(await apart(oracle.denoise(x, lost), mean)).toBeLessThan(1e-9);
    expect(await apart(oracle.predictNoise(x, lost), x.div(2))).toBeLessThan(1e-12);
    expect(await apart(oracle.logDensity(x, { signal: 1, noise: 0 }), oracle.logDensity(x))).toBe(0);
  });

  test("is at each sample's level what it is at one", async () => {
    for (const method of ["logDensity", "score", "divergence", "denoise", "predictNoise"] as const) {
      const together = oracle[method](x, LEVELS);
      for (const [k, level] of LEVELS.entries()) {
        const alone = oracle[method](x.slice([k, k + 1]), level);
        expect(await apart(together.slice([k, k + 1]), alone)).toBeLessThan(1e-12 * (1 + (await largest(alone))));
      }
    }
  });
});

describe("in closed form", () => {
  test("a Gaussian's density, score, divergence and best guesses", async () => {
    const oracle = gaussianOracle({ mean: 1, variance: 4, shape: [1] });
    const x = tensor([[3]], { backend: exact });
    expect(await oracle.logDensity(x).item()).toBeCloseTo(-0.5 - 0.5 * Math.log(8 * Math.PI), 12);
    expect(await oracle.score(x).item()).toBeCloseTo(-0.5, 12);
    expect(await oracle.divergence(x).item()).toBeCloseTo(-0.25, 12);
    // At signal ½ and noise √3 it is N(½, 4), and x₀ = 1 + ½ · 4 / 4 · (3 − ½).
    const level = { signal: 0.5, noise: Math.sqrt(3) };
    expect(await oracle.score(x, level).item()).toBeCloseTo(-0.625, 12);
    expect(await oracle.denoise(x, level).item()).toBeCloseTo(2.25, 12);
    expect(await oracle.predictNoise(x, level).item()).toBeCloseTo(0.625 * Math.sqrt(3), 12);
  });

  test("a correlated Gaussian's score is −Σ⁻¹ (x − μ), its divergence −tr Σ⁻¹", async () => {
    const oracle = mixtures["a correlated Gaussian"];
    const x = pointsOf(oracle);
    const centred = x.sub(tensor([[1, 0, -1]], { backend: exact }));
    // Σ s = −(x − μ), with Σ as it was given.
    expect(
      await largest(
        oracle
          .score(x)
          .matmul(tensor(COVARIANCE, { backend: exact }))
          .add(centred),
      ),
    ).toBeLessThan(1e-12);
    const minors = [1 * 0.5 - 0.2 ** 2, 2 * 0.5 - 0.3 ** 2, 2 * 1 - 0.6 ** 2];
    const determinant = 2 * minors[0] - 0.6 * (0.6 * 0.5 + 0.2 * 0.3) - 0.3 * (0.6 * 0.2 + 0.3);
    for (const found of await oracle.divergence(x).data())
      expect(found).toBeCloseTo(-(minors[0] + minors[1] + minors[2]) / determinant, 10);
    const atMean = tensor([[1, 0, -1]], { backend: exact });
    expect(await oracle.logDensity(atMean).item()).toBeCloseTo(-0.5 * Math.log((2 * Math.PI) ** 3 * determinant), 10);
    for (const [i, row] of oracle.covariance().entries())
      for (const [j, value] of row.entries()) expect(value).toBeCloseTo(COVARIANCE[i][j], 12);
  });

  test("two equal Gaussians at ±m: E[x₀ | x] with no width of their own is m tanh(m a x / b²)", async () => {
    const points = mixtureOracle({ means: [[-1.5], [1.5]], variances: 0 });
    const x = randomStream(1).normal([5, 1], { backend: exact });
    const level = { signal: 0.7, noise: 0.9 };
    const wanted = x
      .mul((1.5 * 0.7) / 0.9 ** 2)
      .tanh()
      .mul(1.5);
    expect(await apart(points.denoise(x, level), wanted)).toBeLessThan(1e-12);
    const [left] = (await points.logPosterior(x, level).array()) as number[][];
    const logit = (2 * 1.5 * 0.7 * (await x.data())[0]) / 0.9 ** 2;
    expect(left[1] - left[0]).toBeCloseTo(logit, 10);
    expect(Math.exp(left[0]) + Math.exp(left[1])).toBeCloseTo(1, 12);
  });

  test("the score of a level is what annealed matching trains", async () => {
    const oracle = mixtures["a mixture"];
    const x = pointsOf(oracle);
    const sigmas = [1, 0.5, 2, 3, 0.1, 10];
    const levels = sigmas.map((noise) => ({ signal: 1, noise }));
    expect(await apart(oracleScore(oracle)(x, sigmas), oracle.score(x, levels))).toBe(0);
  });
});

/** All points of a grid over [−side, side]², and the area of each. */
function grid(side: number, count: number): { points: Tensor; area: number } {
  const at = (k: number) => ((k + 0.5) / count) * 2 * side - side;
  const points = Array.from({ length: count ** 2 }, (_, i) => [at(i % count), at(Math.floor(i / count))]);
  return { points: tensor(points, { backend: exact }), area: ((2 * side) / count) ** 2 };
}

describe.each([
  ["eight Gaussians", mixtures["eight Gaussians"] as Density],
  ["a ring", mixtures["a ring"] as Density],
  ["a checkerboard", mixtures["a checkerboard"] as Density],
  ["a mixture", mixtures["a mixture"] as Density],
  ["a banana", banana() as Density],
])("%s on a grid", (_, density) => {
  const { points, area } = grid(6, 240);
  const masses = density.logDensity(points).exp().mul(area);

  test("has mass 1, and the mean and covariance it tells", async () => {
    // The midpoint rule for smooth densities that fall to 0 inside: exact but for what lies outside of the grid.
    expect(await masses.sum().item()).toBeCloseTo(1, 3);
    const weights = masses.unsqueeze(1);
    const mean = await points.mul(weights).sum(0).data();
    const second = (await points.transpose().matmul(points.mul(weights)).array()) as number[][];
    const covariance = density.covariance();
    for (const i of [0, 1]) {
      expect(mean[i]).toBeCloseTo(density.mean[i], 2);
      for (const j of [0, 1]) expect(second[i][j] - mean[i] * mean[j]).toBeCloseTo(covariance[i][j], 1);
    }
  });

  test("draws samples that have them, and whose mean score is 0", async () => {
    const n = 20_000;
    const x = density.sample(n, randomStream(7), { backend: exact });
    expect(x.shape).toEqual([n, 2]);
    const covariance = density.covariance();
    const data = (await x.mean(0).array()) as number[];
    for (const i of [0, 1])
      expect(Math.abs(data[i] - density.mean[i])).toBeLessThan(5 * Math.sqrt(covariance[i][i] / n));
    const centred = x.sub(tensor([[...density.mean]], { backend: exact }));
    for (const [i, j] of [
      [0, 0],
      [0, 1],
      [1, 1],
    ]) {
      const products = centred.slice(null, i).mul(centred.slice(null, j));
      const error = (await products.std().item()) / Math.sqrt(n);
      expect(Math.abs((await products.mean().item()) - covariance[i][j])).toBeLessThan(5 * error);
    }
    // E[∇log p] = 0 and E[x · ∇log p] = −d, within five standard errors, as above.
    const score = density.score(x);
    for (const [terms, wanted] of [
      [score.slice(null, 0), 0],
      [score.slice(null, 1), 0],
      [score.mul(x).sum(1), -2],
    ] as const)
      expect(Math.abs((await terms.mean().item()) - wanted)).toBeLessThan(
        (5 * (await terms.std().item())) / Math.sqrt(n),
      );
  });
});

test("the best denoiser of a mixture is the mean over the posterior, summed on a grid", async () => {
  const oracle = mixtures["a mixture"];
  const { points, area } = grid(5, 300);
  const [signal, noise] = [0.8, 0.6];
  const prior = oracle.logDensity(points).exp().mul(area);
  for (const x of [
    [0.2, -0.3],
    [1.5, 1],
    [-2, 0.5],
  ]) {
    const distances = points
      .mul(signal)
      .sub(tensor([x], { backend: exact }))
      .square()
      .sum(1);
    const posterior = prior.mul(distances.mul(-0.5 / noise ** 2).exp());
    const mean = points.mul(posterior.unsqueeze(1)).sum(0).div(posterior.sum());
    const found = oracle.denoise(tensor([x], { backend: exact }), { signal, noise });
    expect(await apart(found, mean.unsqueeze(0))).toBeLessThan(1e-6);
    const density = await posterior.sum().log().item();
    const constant = Math.log(2 * Math.PI * noise ** 2);
    expect(await oracle.logDensity(tensor([x], { backend: exact }), { signal, noise }).item()).toBeCloseTo(
      density - constant,
      6,
    );
  }
});

test("a classifier's slope leads from the mixture's score to one component's", async () => {
  const [means, variances] = [
    [
      [-1, 0],
      [1, 0.5],
    ],
    [0.3, 0.6],
  ];
  const oracle = mixtureOracle({ weights: [1, 4], means, variances });
  const x = pointsOf(oracle);
  const level = { signal: 0.8, noise: 0.6 };
  for (const k of [0, 1]) {
    const [slope] = grad((y) => oracle.logPosterior(y, level).slice(null, k).sum(), [x]);
    const component = gaussianOracle({ mean: means[k], variance: variances[k] });
    expect(await apart(oracle.score(x, level).add(slope), component.score(x, level))).toBeLessThan(1e-12);
  }
});

test("a covariance comes back, of rank below d and with equal eigenvalues too", async () => {
  const d = 12;
  const factor = randomStream(8).host.normal([d, 5]);
  const row = (i: number) => factor.subarray(5 * i, 5 * i + 5);
  const covariance = Array.from({ length: d }, (_, i) =>
    Array.from({ length: d }, (_, j) => row(i).reduce((sum, value, k) => sum + value * row(j)[k], 0)),
  );
  const oracle = gaussianOracle({ covariance });
  for (const [i, found] of oracle.covariance().entries())
    for (const [j, value] of found.entries()) expect(value).toBeCloseTo(covariance[i][j], 12);
  // Rounded to float32 it has eigenvalues below 0, as the moments of few samples have.
  const single = gaussianOracle({ covariance: covariance.map((entries) => Float32Array.from(entries)) });
  for (const [i, found] of single.covariance().entries())
    for (const [j, value] of found.entries()) expect(value).toBeCloseTo(covariance[i][j], 5);
  // Without noise it has no density; with it the best denoiser is Σ (Σ + b² I)⁻¹ x: (Σ + b² I) E[ε | x] = b x.
  const x = pointsOf(oracle);
  expect(() => oracle.score(x)).toThrow("component 0 has no width at signal 1 and noise 0");
  const noise = oracle.predictNoise(x, { signal: 1, noise: 0.5 });
  const applied = noise.matmul(tensor(covariance, { backend: exact })).add(noise.mul(0.25));
  expect(await apart(applied, x.mul(0.5))).toBeLessThan(1e-12 * 50);
});

test("nothing but results is left alive", () => {
  for (const oracle of [mixtures["a mixture with covariances"], mixtures["a ring"]]) {
    const x = pointsOf(oracle);
    const before = heldTensors();
    const made = (["logDensity", "score", "divergence", "denoise", "predictNoise"] as const).map((m) =>
      oracle[m](x, LEVELS),
    );
    expect(liveTensors()).toBe(before + made.length);
    for (const result of [x, ...made]) result.dispose();
  }
});

test("a banana's score is the slope of its log density, with the divergence it tells", async () => {
  const density = banana({ length: 1.3, width: 0.4, bend: -0.7 });
  const x = pointsOf(density);
  const [slope] = grad((y) => density.logDensity(y).sum(), [x]);
  expect(await apart(density.score(x), slope)).toBeLessThan(1e-12 * (await largest(slope)));
  const { divergence } = exactDivergence(density.score, x);
  expect(await apart(density.divergence(x), divergence)).toBeLessThan(1e-11 * (await largest(divergence)));
});

test("a ring is a circle without ends: turning changes nothing", async () => {
  const oracle = ring({ radius: 2, deviation: 0.2 });
  const at = (radius: number, angle: number) => [radius * Math.cos(angle), radius * Math.sin(angle)];
  const rings = [1.6, 2, 2.4].map((radius) => Array.from({ length: 7 }, (_, k) => at(radius, 0.013 * k)));
  for (const points of rings) {
    const densities = await oracle.logDensity(tensor(points, { backend: exact })).data();
    for (const density of densities) expect(Math.abs(density - densities[0])).toBeLessThan(1e-9);
  }
});

test("far away from everything the nearest component remains", async () => {
  const single = cpu();
  const x = tensor(
    [
      [1e4, 1e4],
      [-1e6, 0],
    ],
    { backend: single },
  );
  const oracle = eightGaussians({ radius: 2, deviation: 0.5 });
  const means = [
    [Math.SQRT2, Math.SQRT2],
    [-2, 0],
  ];
  const score = (await oracle.score(x).array()) as number[][];
  for (const [i, [p, q]] of means.entries()) {
    const [a, b] = i === 0 ? [1e4, 1e4] : [-1e6, 0];
    expect(score[i][0] / ((p - a) / 0.25)).toBeCloseTo(1, 5);
    if (b !== 0) expect(score[i][1] / ((q - b) / 0.25)).toBeCloseTo(1, 5);
  }
  for (const value of await oracle.logDensity(x).data()) expect(Number.isFinite(value)).toBe(true);
});

describe("as a model", () => {
  const KINDS: Prediction[] = ["noise", "data", "velocity", "score", "mean"];
  const oracle = mixtures["a mixture"];
  const x = pointsOf(oracle).slice([0, 4]);
  const times = [1, 100, 500, 999];

  test("predicts every kind alike", async () => {
    const schedule = cosine(1000);
    const noise = oracleModel(oracle, schedule).forward(x, times);
    for (const to of KINDS) {
      const wanted = convertPrediction(schedule, noise, { from: "noise", to, x, times });
      expect(await apart(oracleModel(oracle, schedule, to).forward(x, times), wanted)).toBeLessThan(
        1e-7 * (1 + (await largest(wanted))), // x₀ from noise at the last step divides by √ᾱ = 5e-5
      );
    }
  });

  test("has values where no signal is left", async () => {
    const schedule = zeroTerminalSnr(linear(1000));
    const last = x.slice([0, 1]);
    expect(await apart(oracleModel(oracle, schedule).forward(last, [999]), last)).toBeLessThan(1e-12);
    for (const kind of KINDS)
      expect(Number.isFinite(await oracleModel(oracle, schedule, kind).forward(last, [999]).sum().item())).toBe(true);
  });

  test("DDIM of 10 steps and EDM's 18 Euler steps make of N(0, ¼) what they must", async () => {
    const gaussian = gaussianOracle({ variance: 0.25, shape: [1] });
    const one = tensor([[1]], { backend: exact });
    const schedule = linear(1000);
    for (const prediction of KINDS) {
      const sampler = ddim(discretePath(schedule, { steps: 10, prediction }));
      const run = sample(sampler, oracleModel(gaussian, schedule, prediction), [1, 1], randomStream(0), {
        from: { x: one },
      });
      expect(await (await finalSample(run)).square().item()).toBeCloseTo(0.1399721299, 8);
    }
    const denoiser = oracleModel(gaussian, (noise) => ({ signal: 1, noise }), "data");
    const start = one.mul(80);
    const run = sample(euler(sigmaPath(karras(18))), denoiser, [1, 1], randomStream(0), { from: { x: start } });
    expect(await (await finalSample(run)).square().item()).toBeCloseTo(0.1789555962, 8);
    const velocity = oracleModel(gaussian, (noise) => ({ signal: 1, noise }), "velocity").forward(one, [2]);
    expect(await velocity.item()).toBeCloseTo((2 / 4.25 - (2 * 0.25) / 4.25) / Math.sqrt(5), 12);
  });

  test("predicts no mean without a schedule", () => {
    expect(() => oracleModel(oracle, (noise) => ({ signal: 1, noise }), "mean")).toThrow(
      "oracleModel: levels is a function, want a schedule, which predictions of the mean need",
    );
  });
});

const backends: { name: string; open: () => Promise<Backend>; skip: boolean }[] = [
  { name: "cpu", open: async () => cpu(), skip: false },
  { name: "wasm", open: () => wasm(), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];
for (const { name: backendName, open, skip } of backends) {
  describe.skipIf(skip)(`on ${backendName}`, () => {
    let backend: Backend | undefined;
    afterAll(() => backend?.dispose());

    test.each(names)("%s says what it says in float64, and draws the same samples", async (name) => {
      backend ??= await open();
      const oracle = mixtures[name];
      const [x, reference] = [pointsOf(oracle, backend), pointsOf(oracle)];
      for (const method of ["logDensity", "score", "divergence", "denoise", "predictNoise"] as const) {
        const [found, wanted] = [oracle[method](x, LEVELS), oracle[method](reference, LEVELS)];
        // At noise 0.01 logits are up to 10⁴, of which float32 keeps 10⁻³. That shifts weight between components near a tie, where
        // the result is a tenth or less of the largest.
        const scale = 1 + (await largest(wanted));
        const [a, b] = [await found.data(), await wanted.data()];
        for (const [i, value] of b.entries()) expect(Math.abs(a[i] - value)).toBeLessThan(1e-4 * scale);
      }
      const [slope] = grad((y) => oracle.logDensity(y, LEVELS[1]).sum(), [x]);
      expect(await apart(slope, oracle.score(x, LEVELS[1]))).toBeLessThan(1e-4 * (1 + (await largest(slope))));
      const drawn = await oracle.sample(10, randomStream(3), { backend }).data();
      const again = await oracle.sample(10, randomStream(3), { backend: cpu() }).data();
      expect([...drawn]).toEqual([...again]);
    });
  });
}

test("what does not fit is refused", () => {
  const two = [
    [0, 0],
    [1, 1],
  ];
  const make = (parts: Parameters<typeof mixtureOracle>[0]) => () => mixtureOracle(parts);
  expect(make({ means: [], variances: 1 })).toThrow("mixtureOracle: no means, want at least one component");
  expect(make({ means: two })).toThrow("mixtureOracle: neither variances and covariances, want one of them");
  expect(make({ means: two, variances: 1, weights: [1] })).toThrow(
    "mixtureOracle: 1 weights for 2 means, want one each",
  );
  expect(make({ means: two, variances: 1, weights: [1, 0] })).toThrow(
    "mixtureOracle: weights[1] is 0, want a positive number",
  );
  expect(make({ means: [[0], [1, 2]], variances: 1 })).toThrow("mixtureOracle: means[1] has 2 elements, want 1");
  expect(make({ means: [[Number.NaN]], variances: 1 })).toThrow("mixtureOracle: means[0] has NaN, want finite numbers");
  expect(make({ means: two, variances: [1, -1] })).toThrow(
    "mixtureOracle: variances[1] has -1, want finite numbers ≥ 0",
  );
  expect(make({ means: two, variances: [1, [1, 2, 3]] })).toThrow(
    "mixtureOracle: variances[1] has 3 elements, want one number or 2",
  );
  expect(make({ means: two, variances: 1, shape: [3] })).toThrow(
    "mixtureOracle: means of 2 elements for samples of shape [3]",
  );
  expect(
    make({
      means: [[0, 0]],
      covariances: [
        [
          [1, 0.5],
          [0.4, 1],
        ],
      ],
    }),
  ).toThrow("mixtureOracle: covariances[0] has 0.4 at (1, 0)");
  expect(
    make({
      means: [[0, 0]],
      covariances: [
        [
          [1, 2],
          [2, 1],
        ],
      ],
    }),
  ).toThrow("mixtureOracle: covariances[0] has the eigenvalue -");
  expect(make({ means: [[0, 0]], covariances: [[[1]]] })).toThrow(
    "mixtureOracle: covariances[0] is [1, 1], want [2, 2]",
  );
  expect(() => gaussianOracle({ variance: 1 })).toThrow("gaussianOracle: neither shape, vectors nor a matrix");
  expect(() => gaussianOracle({ mean: [1] })).toThrow("gaussianOracle: neither variances and covariances");

  const oracle = mixtureOracle({ means: two, variances: [0, 1] });
  const x = randomStream(1).normal([3, 2], { backend: exact });
  expect(() => oracle.score(x)).toThrow(
    "mixtureOracle: component 0 has no width at signal 1 and noise 0, want noise or a variance above 0",
  );
  expect(() => oracle.score(x.slice(null, [0, 1]))).toThrow("mixtureOracle: x is [3, 1], want [batch, 2]");
  const level = { signal: 1, noise: 1 };
  expect(() => oracle.score(x, [level, level])).toThrow(
    "mixtureOracle: 2 levels for a batch of 3, want one, or one per sample",
  );
  expect(() => oracle.score(x, { signal: 1, noise: -1 })).toThrow("mixtureOracle: noise is -1, want a number ≥ 0");
  expect(() => ring({ deviation: 0 })).toThrow("ring: deviation is 0, want a positive number");
  expect(() => checkerboard({ squares: 1 })).toThrow("checkerboard: 1 squares, want an integer of 2 or more");
  expect(() => banana({ bend: Number.NaN })).toThrow("banana: bend is NaN, want a finite number");
  expect(() => banana().score(x.slice(null, [0, 1]))).toThrow("banana: x is [3, 1], want [batch, 2]");
});
