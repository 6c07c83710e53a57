// Score-matching objectives: their values in closed form, and their gradients through networks on every backend.
import {
  annealedScoreMatching,
  denoisingScoreMatching,
  drawProbes,
  explicitScoreMatching,
  finiteDifferenceDenoising,
  finiteDifferenceSliced,
  finiteDifferenceSlicedEnergy,
  implicitScoreMatching,
  type NoisyScore,
  type Score,
  scoreOfEnergy,
  slicedScoreMatching,
  slicedScoreMatchingVR,
} from "@pkg/diffusion";
import { attentionBlock, conv2d, groupNorm, mlp, parameters, unet } from "@pkg/nn";
import {
  type Backend,
  cpu,
  grad,
  liveTensors,
  randomStream,
  type Tensor,
  tensor,
  tidy,
  type WasmBackend,
  wasm,
  webgpu,
} from "@pkg/tensor";
import { afterAll, describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { gpuAvailable } from "../../setup/gpu.ts";
import { heldTensors } from "../../setup/heldTensors.ts";

const exact = cpu({ precision: "float64" });
/** s(x) = −x / 2 where the data is N(0, 1): FORMULAS in numbers below. */
const half: Score = (x) => x.mul(-0.5);
const normalScore: Score = (x) => x.neg();
// Its second moment is that of N(0, 1), so quadratic objectives have their expectations to the bit.
const signs = tensor([[1], [-1]], { backend: exact });

describe.each(openers.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  test("the score of ½ x.pow(2) has the slope −1 at 0 as well", async () => {
    const backend = await open();
    const score: Score = (x) => grad((v) => v.pow(2).mul(-0.5).sum(), [x])[0];
    expect(await implicitScoreMatching(score, tensor([[0], [0]], { backend })).item()).toBe(-1);
    expect(await implicitScoreMatching(score, tensor([[0], [2]], { backend })).item()).toBe(0);
    backend.dispose();
  });
});

describe("s = −x / 2 on N(0, 1)", () => {
  test("is 1/8 from the true score, −3/8 implicitly: ½ E‖∇log p‖² = ½ less", async () => {
    expect(await explicitScoreMatching(half, normalScore, signs).item()).toBe(0.125);
    expect(await implicitScoreMatching(half, signs).item()).toBe(-0.375);
  });

  test("sums over elements and takes the mean over the batch: three dimensions give three times as much", async () => {
    const cube = tensor([-1, 1, 1, 1, 1, -1], { backend: exact, shape: [2, 3] });
    expect(await explicitScoreMatching(half, normalScore, cube).item()).toBeCloseTo(0.375, 14);
    expect(await implicitScoreMatching(half, cube).item()).toBeCloseTo(-1.125, 14);
    const image = cube.reshape([2, 1, 3]);
    expect(await implicitScoreMatching(half, image).item()).toBeCloseTo(-1.125, 14);
    const probes = drawProbes(cube, randomStream(1));
    expect(await slicedScoreMatchingVR(half, cube, probes).item()).toBeCloseTo(-1.125, 14);
  });

  const N = 20_000;
  const data = randomStream(2).normal([N, 1], { backend: exact });

  test("denoising at σ = ½ gives ½ (¼ + (1/σ − σ/2)²) = 1.65625", async () => {
    const loss = await denoisingScoreMatching(half, data, 0.5, randomStream(3)).item();
    expect(Math.abs(loss - 1.65625)).toBeLessThan((4 * 1.65625 * Math.SQRT2) / Math.sqrt(N)); // 1.65625 χ²₁
  });

  test("denoising is a constant above explicit matching on q_σ: ½ (1/σ² − 1/(1 + σ²))", async () => {
    // Both at the same noised points, for two scores: the constant does not depend on the score.
    const sigma = 0.5;
    const epsilon = randomStream(4).normal([N, 1], { backend: exact });
    const noised = data.add(epsilon.mul(sigma));
    const best: Score = (y) => y.mul(-1 / (1 + sigma ** 2));
    for (const score of [half, best]) {
      const denoising = await denoisingScoreMatching(score, data, sigma, randomStream(4)).item();
      const gap = denoising - (await explicitScoreMatching(score, best, noised).item());
      expect(Math.abs(gap - 0.5 * (4 - 0.8))).toBeLessThan((4 * 4) / Math.sqrt(N)); // its terms deviate by less than 4
    }
  });

  test.each([0.5, 0.01])("the control variate takes s(x)·ε/σ and ½(‖ε‖² − d)/σ² away, at σ = %f", async (sigma) => {
    const wide = data.reshape([N / 4, 4]);
    const epsilon = randomStream(5).normal([N / 4, 4], { backend: exact });
    const plain = denoisingScoreMatching(half, wide, sigma, randomStream(5));
    const reduced = denoisingScoreMatching(half, wide, sigma, randomStream(5), { controlVariate: true });
    const linear = half(wide).mul(epsilon).sum(1).div(sigma);
    const square = epsilon
      .square()
      .sum(1)
      .sub(4)
      .mul(0.5 / sigma ** 2);
    const wanted = await linear.add(square).mean().item();
    expect(((await plain.item()) - (await reduced.item())) / wanted).toBeCloseTo(1, 8);
  });

  test("with the control variate σ → 0 does not matter: the deviation stays below 1, without it is 1/√2 σ²", async () => {
    const sigma = 0.01;
    const wanted = 0.5 * (0.25 + (1 / sigma - sigma / 2) ** 2);
    const reduced = await denoisingScoreMatching(half, data, sigma, randomStream(6), { controlVariate: true }).item();
    expect(Math.abs(reduced - wanted)).toBeLessThan(4 / Math.sqrt(N)); // x̃² / 8 − ε² / 2 deviates by 0.73
    const plain = await denoisingScoreMatching(half, data, sigma, randomStream(6)).item();
    expect(Math.abs(plain - wanted)).toBeGreaterThan(4 / Math.sqrt(N));
  });

  test("the limit of the control variate for σ → 0 is variance-reduced sliced matching with the noise for a probe", async () => {
    const sigma = 1e-5;
    const score: Score = (y) => y.mul(0.7).sin();
    const denoising = await denoisingScoreMatching(score, data, sigma, randomStream(7), {
      controlVariate: true,
    }).item();
    const probe = randomStream(7).normal([N, 1], { backend: exact });
    const sliced = await slicedScoreMatchingVR(score, data, [probe]).item();
    // Its terms are 0.5 / σ² = 5·10⁹ here, of which float64 keeps 10⁻⁶.
    expect(denoising - 0.5 / sigma ** 2).toBeCloseTo(sliced, 4);
  });

  test("annealed: σ² weighs each level, so ½ E(σ s + ε)² = ½ (σ²/4 + (1 − σ²/2)²), the mean over levels", async () => {
    const sigmas = [2, 1, 0.1];
    const level = (sigma: number) => 0.5 * (sigma ** 2 / 4 + (1 - sigma ** 2 / 2) ** 2);
    const wanted = sigmas.reduce((sum, sigma) => sum + level(sigma) / 3, 0);
    const score: NoisyScore = (y) => half(y);
    const loss = await annealedScoreMatching(score, data, sigmas, randomStream(8)).item();
    expect(Math.abs(loss - wanted)).toBeLessThan((4 * 2) / Math.sqrt(N)); // the largest level is 1, times χ²₁ of deviation √2
    const reduced = await annealedScoreMatching(score, data, sigmas, randomStream(8), { controlVariate: true }).item();
    expect(Math.abs(reduced - wanted)).toBeLessThan((4 * 3) / Math.sqrt(N));
  });

  test("annealed at one level with λ = 1 is denoising at it; each sample's σ reaches the score", async () => {
    const seen = new Set<number>();
    const score: NoisyScore = (y, sigmas) => {
      expect(sigmas.length).toBe(y.shape[0]);
      for (const sigma of sigmas) seen.add(sigma);
      return half(y);
    };
    const stream = randomStream(9);
    stream.integers(0, 1, [N], { backend: exact }); // the levels come first
    const alone = await denoisingScoreMatching(half, data, 0.3, stream).item();
    const one = await annealedScoreMatching(score, data, [0.3], randomStream(9), { weight: () => 1 }).item();
    expect(one / alone).toBeCloseTo(1, 12);
    await annealedScoreMatching(score, data, [3, 2, 1], randomStream(9)).item();
    expect([...seen].sort()).toEqual([0.3, 1, 2, 3]);
  });

  test("no weight divides by a small σ: 1e-30 is as good as 1e-3", async () => {
    const small = cpu();
    const x = randomStream(2).normal([100, 2], { backend: small });
    const loss = await annealedScoreMatching(half, x, [1e-30], randomStream(1)).item();
    expect(Math.abs(loss - 1)).toBeLessThan(4 / Math.sqrt(100)); // ½ χ²₂
  });

  test("sliced objectives have the expectation of the implicit one", async () => {
    const field: Score = (y) =>
      y.matmul(
        tensor(
          [
            [-0.5, 0.3],
            [0.1, -0.2],
          ],
          { backend: exact },
        ),
      );
    const pairs = randomStream(10).normal([N, 2], { backend: exact });
    const implicit = await implicitScoreMatching(field, pairs).item();
    for (const distribution of ["rademacher", "normal"] as const) {
      const probes = drawProbes(pairs, randomStream(11), { distribution, count: 2 });
      // Per sample vᵀAv + ½(vᵀs)² − (tr A + ½‖s‖²) deviates by less than 1.5 for a field of this size.
      for (const sliced of [slicedScoreMatching, slicedScoreMatchingVR])
        expect(Math.abs((await sliced(field, pairs, probes).item()) - implicit)).toBeLessThan(
          (4 * 1.5) / Math.sqrt(2 * N),
        );
    }
  });
});

describe("finite differences", () => {
  const x = randomStream(1).normal([32, 3], { backend: exact });
  const energy = (y: Tensor) => y.square().square().mul(0.05).add(y.square().mul(0.3)).sum(1);
  const score = scoreOfEnergy(energy);
  const probes = drawProbes(x, randomStream(2), { count: 2, distribution: "normal" });

  test.each([
    ["of a score", (step: number) => finiteDifferenceSliced(score, x, probes, { step })],
    ["of an energy", (step: number) => finiteDifferenceSlicedEnergy(energy, x, probes, { step })],
  ] as const)("%s are sliced score matching but for O(h²)", async (_, objective) => {
    const wanted = await slicedScoreMatching(score, x, probes).item();
    const errors = [];
    for (const step of [0.04, 0.02, 0.01]) errors.push((await objective(step).item()) - wanted);
    expect(Math.abs(errors[2])).toBeLessThan(1e-2);
    expect(errors[0] / errors[1]).toBeCloseTo(4, 1);
    expect(errors[1] / errors[2]).toBeCloseTo(4, 1);
  });

  test("of an energy at noised points are denoising score matching along the probes but for O(h²)", async () => {
    const sigma = 0.4;
    const noise = randomStream(3).normal([32, 3], { backend: exact });
    const residual = score(x.add(noise.mul(sigma))).add(noise.div(sigma));
    const along = await Promise.all(probes.map((v) => residual.mul(v).sum(1).square().mean().mul(0.5).item()));
    const wanted = (along[0] + along[1]) / 2;
    const errors = [];
    for (const step of [0.04, 0.02]) {
      const loss = finiteDifferenceDenoising(energy, x, sigma, probes, randomStream(3), { step });
      errors.push((await loss.item()) - wanted);
    }
    expect(errors[0] / errors[1]).toBeCloseTo(4, 1);
  });

  test("are exact for a linear score", async () => {
    const quadratic = (y: Tensor) => y.square().sum(1).mul(0.25);
    const wanted = await slicedScoreMatching(half, x, probes).item();
    expect(await finiteDifferenceSliced(half, x, probes).item()).toBeCloseTo(wanted, 12);
    expect(await finiteDifferenceSlicedEnergy(quadratic, x, probes).item()).toBeCloseTo(wanted, 10);
  });
});

interface Network {
  readonly shape: readonly number[];
  readonly parameters: readonly Tensor[];
  readonly score: Score;
  readonly energy: (x: Tensor) => Tensor;
}

const networks: Record<string, (backend: Backend) => Network> = {
  "an MLP": (backend) => {
    const model = mlp({ sizes: [3, 6, 6, 3], activation: "silu" }, { backend, rng: randomStream(20) });
    const score: Score = (x) => model.forward(x);
    return { shape: [4, 3], parameters: parameters(model), score, energy: (x) => score(x).mul(x).sum(1) };
  },
  "a convolutional net": (backend) => {
    const init = { backend, rng: randomStream(21) };
    const model = {
      input: conv2d(1, 4, init),
      norm: groupNorm(4, { ...init, groups: 2, activation: "silu" }),
      attention: attentionBlock(4, { ...init, groups: 2, heads: 2 }),
      middle: conv2d(4, 4, init),
      outputNorm: groupNorm(4, { ...init, groups: 2, activation: "silu" }),
      output: conv2d(4, 1, init),
    };
    // Nothing stays zero, as the last map of attention is at first.
    for (const p of parameters(model)) p.assign(p.add(init.rng.normal(p.shape, { backend, std: 0.2 })));
    const score: Score = (x) => {
      const hidden = model.attention.forward(model.norm.forward(model.input.forward(x)));
      return model.output.forward(model.outputNorm.forward(model.middle.forward(hidden)));
    };
    return { shape: [2, 3, 3, 1], parameters: parameters(model), score, energy: (x) => score(x).mul(x).sum([1, 2, 3]) };
  },
};

/** The whole of it: levels, skips, attention, time. Slow on the reference, so for the objectives that use most of the engine alone. */
const UNET = "a U-Net";
networks[UNET] = (backend) => {
  const init = { backend, rng: randomStream(24) };
  const model = unet(
    { inChannels: 1, channels: 4, multipliers: [1, 2], blocks: 1, attentionLevels: [1], groups: 2 },
    init,
  );
  for (const p of parameters(model)) p.assign(p.add(init.rng.normal(p.shape, { backend, std: 0.1 })));
  const score: Score = (x) => model.forward(x, [100, 900]);
  return {
    shape: [2, 3, 3, 1],
    parameters: parameters(model),
    score,
    energy: (x) => score(x).mul(x).sum([1, 2, 3]),
  };
};
const UNET_OBJECTIVES = ["sliced, variance-reduced", "denoising, of an energy"];

const objectives: Readonly<Record<string, (network: Network, x: Tensor) => Tensor>> = {
  explicit: ({ score }, x) => explicitScoreMatching(score, normalScore, x),
  implicit: ({ score }, x) => implicitScoreMatching(score, x),
  sliced: ({ score }, x) => slicedScoreMatching(score, x, drawProbes(x, randomStream(30))),
  "sliced, variance-reduced": ({ score }, x) =>
    slicedScoreMatchingVR(score, x, drawProbes(x, randomStream(30), { distribution: "normal" })),
  "sliced by finite differences": ({ score }, x) => finiteDifferenceSliced(score, x, drawProbes(x, randomStream(30))),
  denoising: ({ score }, x) => denoisingScoreMatching(score, x, 0.5, randomStream(31)),
  "denoising with the control variate": ({ score }, x) =>
    denoisingScoreMatching(score, x, 0.5, randomStream(31), { controlVariate: true }),
  annealed: ({ score }, x) =>
    annealedScoreMatching((y) => score(y), x, [2, 0.5, 0.1], randomStream(31), { weight: (sigma) => sigma }),
  "sliced, of an energy": ({ energy }, x) =>
    slicedScoreMatching(scoreOfEnergy(energy), x, drawProbes(x, randomStream(30))),
  "denoising, of an energy": ({ energy }, x) => denoisingScoreMatching(scoreOfEnergy(energy), x, 0.5, randomStream(31)),
  "sliced by finite differences of an energy": ({ energy }, x) =>
    finiteDifferenceSlicedEnergy(energy, x, drawProbes(x, randomStream(30)), { step: 0.3 }),
  "denoising by finite differences of an energy": ({ energy }, x) =>
    finiteDifferenceDenoising(energy, x, 0.5, drawProbes(x, randomStream(30)), randomStream(31), { step: 0.3 }),
};

const cases = Object.keys(networks).flatMap((network) =>
  Object.keys(objectives)
    .filter((name) => network !== UNET || UNET_OBJECTIVES.includes(name))
    .map((name) => ({ network, name })),
);

function gradients(network: string, name: string, backend: Backend): Tensor[] {
  const made = networks[network](backend);
  const x = randomStream(22).normal(made.shape, { backend });
  return grad(() => objectives[name](made, x), made.parameters);
}

describe("gradients by the parameters", () => {
  test.each(cases)("of $network by $name are central differences", async ({ network, name }) => {
    const made = networks[network](exact);
    const x = randomStream(22).normal(made.shape, { backend: exact });
    const grads = gradients(network, name, exact);
    const directions = made.parameters.map(({ shape }) => randomStream(23).normal(shape, { backend: exact }));
    const along = grads.map((g, k) => g.mul(directions[k]).sum()).reduce((a, b) => a.add(b));
    const step = 1e-4;
    const start = made.parameters.map((p) => p.detach());
    const valueAt = (by: number) => {
      for (const [k, p] of made.parameters.entries()) p.assign(start[k].add(directions[k].mul(by)));
      return objectives[name](made, x).item();
    };
    const difference = async (by: number) => ((await valueAt(by)) - (await valueAt(-by))) / (2 * by);
    const slope = (4 * (await difference(step)) - (await difference(2 * step))) / 3;
    // Truncation is step⁴ / 30 times a fifth derivative along a direction of length 10 or so: 1e-12 of it. Rounding 1e-11.
    expect(Math.abs((await along.item()) - slope)).toBeLessThan(1e-7 * Math.max(1, Math.abs(slope)));
    expect(Math.abs(slope)).toBeGreaterThan(1e-3);
  });

  const backends: { name: string; open: () => Promise<Backend>; skip: boolean }[] = [
    { name: "cpu", open: async () => cpu(), skip: false },
    { name: "wasm", open: () => wasm(), skip: false },
    { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
  ];
  for (const { name: backendName, open, skip } of backends) {
    describe.skipIf(skip)(`on ${backendName}`, () => {
      let backend: Backend | WasmBackend | undefined;
      afterAll(() => backend?.dispose());

      test.each(cases)("of $network by $name are those of float64", async ({ network, name }) => {
        backend ??= await open();
        const [found, wanted] = [gradients(network, name, backend), gradients(network, name, exact)];
        let [error, size] = [0, 0];
        for (const [k, g] of found.entries()) {
          const [a, b] = [await g.data(), await wanted[k].data()];
          for (const [i, value] of b.entries()) [error, size] = [error + (a[i] - value) ** 2, size + value ** 2];
        }
        // Some hundred float32 roundings a path, of terms up to ten times the result: 1e-4 relative, in L2.
        expect(Math.sqrt(error / size)).toBeLessThan(1e-4);
        for (const g of [...found, ...wanted]) g.dispose();
      });
    });
  }
});

test("nothing but the loss is left alive", () => {
  const x = randomStream(1).normal([4, 3], { backend: exact });
  const made = networks["an MLP"](exact);
  const probes = drawProbes(x, randomStream(2));
  const before = heldTensors();
  tidy(() => void Object.values(objectives).map((objective) => objective(made, x)));
  expect(liveTensors()).toBe(before);
  const kept = [implicitScoreMatching(made.score, x), slicedScoreMatching(made.score, x, probes)];
  expect(liveTensors()).toBe(before + kept.length);
});

test("what does not fit is refused", () => {
  const x = randomStream(1).normal([4, 3], { backend: exact });
  const rng = randomStream(0);
  const probes = drawProbes(x, rng);
  const cut: Score = (y) => y.slice(null, [0, 2]);
  expect(() => explicitScoreMatching(cut, half, x)).toThrow(
    "explicitScoreMatching: the field is [4, 2] at x [4, 3], want x's shape",
  );
  expect(() => implicitScoreMatching(cut, x)).toThrow("the field is [4, 2] at x [4, 3], want x's shape");
  expect(() => slicedScoreMatching(cut, x, probes)).toThrow("slicedScoreMatching: the field is [4, 2]");
  expect(() => slicedScoreMatching(half, x, [])).toThrow("slicedScoreMatching: no probes, want at least one");
  expect(() => finiteDifferenceSliced(half, x, probes, { step: 0 })).toThrow(
    "finiteDifferenceSliced: step is 0, want a positive number",
  );
  expect(() => finiteDifferenceSlicedEnergy(half, x, probes)).toThrow(
    "finiteDifferenceSlicedEnergy: energies of shape [12, 3], want [12], one per sample",
  );
  for (const sigma of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    const message = `σ is ${sigma}, want a finite number above 0`;
    expect(() => denoisingScoreMatching(half, x, sigma, rng)).toThrow(`denoisingScoreMatching: ${message}`);
    expect(() => annealedScoreMatching(half, x, [sigma], rng)).toThrow(`annealedScoreMatching: ${message}`);
    expect(() => finiteDifferenceDenoising(half, x, sigma, probes, rng)).toThrow(
      `finiteDifferenceDenoising: ${message}`,
    );
  }
  expect(() => annealedScoreMatching(half, x, [1, 2], rng)).toThrow(
    "annealedScoreMatching: σ is 2 after 1, want levels that fall",
  );
  expect(() => annealedScoreMatching(half, x, [1, 1], rng)).toThrow("σ is 1 after 1, want levels that fall");
  expect(() => annealedScoreMatching(half, x, [], rng)).toThrow("annealedScoreMatching: no noise levels");
  expect(() => annealedScoreMatching(half, x, [1], rng, { weight: () => Number.NaN })).toThrow(
    "annealedScoreMatching: the weight of σ = 1 is NaN, want a finite number ≥ 0",
  );
  expect(() => denoisingScoreMatching(cut, x, 1, rng)).toThrow("denoisingScoreMatching: the field is [4, 2]");
});
