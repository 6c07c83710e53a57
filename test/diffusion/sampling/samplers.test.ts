// Samplers against closed forms on Gaussian data, and against the sums that diffusers' scheduler tests pin.
import {
  alphaBarAt,
  analytic,
  ancestral,
  type Clip,
  ddim,
  discretePath,
  eightGaussians,
  euler,
  finalSample,
  fixedLarge,
  fixedSmall,
  heun,
  karras,
  learned,
  learnedRange,
  linear,
  type Model,
  type NoiseSource,
  noiseVarianceAt,
  oracleModel,
  type ReverseVariance,
  type Sampler,
  sample,
  sigmaPath,
} from "@pkg/diffusion";
import { type Backend, concat, cpu, randomStream, type Tensor, tensor, torchStream, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../../setup/gpu.ts";
import { listOf } from "../../setup/listOf.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

/** The best noise prediction for data from N(0, variance): E[ε | x_t], linear in x_t. */
function gaussianModel(variance: number): Model {
  return {
    forward(x, [t]: readonly number[]) {
      const alphaBar = alphaBarAt(schedule, t);
      return x.mul(Math.sqrt(1 - alphaBar) / (alphaBar * variance + 1 - alphaBar));
    },
  };
}

/**
 * The variance of what a linear sampler makes of its prior: sample 0 starts at its standard deviation without noise, sample k at 0
 * with noise 1 in its k-th draw alone, and the squares add up.
 */
async function finalVariance(sampler: Sampler, model: Model = gaussianModel(0.25)): Promise<number> {
  const batch = sampler.levels.length;
  const unit = (at: number) =>
    tensor(
      Float64Array.from({ length: batch }, (_, k) => Number(k === at)),
      { backend: exact, shape: [batch, 1] },
    );
  let draws = 0;
  const oneAtATime = { normal: () => unit(++draws) } satisfies NoiseSource;
  const x = await finalSample(
    sample(sampler, model, [batch, 1], oneAtATime, { from: { x: unit(0).mul(sampler.prior) } }),
  );
  return await x.square().sum().item();
}

/** A noise prediction, and in the second channel what tells the variance. */
function withChannel(model: Model, raw: (t: number) => number): Model {
  return {
    forward(x, times) {
      const channel = x.mul(0).add(raw(listOf(times)[0]));
      return concat([model.forward(x, times), channel], -1);
    },
  };
}

/** A rule of one's own. */
const constantVariance: ReverseVariance = {
  isLearned: false,
  logVariance: ({ x }) => x.mul(0).add(Math.log(0.01)),
};

/** The best denoiser for data from N(0, variance) with noise of a standard deviation σ, which is its time. */
const gaussianDenoiser = (variance: number): Model => ({
  forward: (x, [sigma]: readonly number[]) => x.mul(variance / (variance + sigma ** 2)),
});

describe("on data from N(0, 1/4) with the exact noise prediction the samples' variance is", () => {
  test.each([
    ["ancestral, small variance", ancestral(discretePath(schedule)), 0.2461252114],
    ["ancestral, large variance", ancestral(discretePath(schedule), { variance: fixedLarge() }), 0.250752075],
    ["DDIM of 10 steps", ddim(discretePath(schedule, { steps: 10 })), 0.1399721299],
    ["DDIM of 1,000 steps", ddim(discretePath(schedule, { steps: 1000 })), 0.2484975472],
  ])("%s: %#", async (_, sampler, wanted) => {
    expect(await finalVariance(sampler)).toBeCloseTo(wanted, 8);
  });

  test.each([
    ["Euler's method", euler(sigmaPath(karras(18))), 0.1789555962],
    ["Heun's method", heun(sigmaPath(karras(18))), 0.2783877576],
  ])("%s on Karras' levels: %#", async (_, sampler, wanted) => {
    expect(await finalVariance(sampler, gaussianDenoiser(0.25))).toBeCloseTo(wanted, 9);
  });

  test.each([
    ["of range at its lower end", learnedRange(), () => -1, fixedSmall()],
    ["of range at its upper end", learnedRange(), () => 1, fixedLarge()],
    ["of a constant", learned(), () => Math.log(0.01), constantVariance],
  ])("ancestral with a learned variance %s: that of the fixed one", async (_, variance, raw, fixed) => {
    const of = (rule: ReverseVariance) => ancestral(discretePath(schedule, { steps: 50 }), { variance: rule });
    const wanted = await finalVariance(of(fixed));
    expect(await finalVariance(of(variance), withChannel(gaussianModel(0.25), raw))).toBeCloseTo(wanted, 12);
  });

  test.each([100, 10, 3])(
    "that of the data but for the last step's, with the optimal variance in %d steps",
    async (steps) => {
      // Γ_t = E ε̂² of the exact prediction: reverse steps are then the true conditionals, whatever their length.
      const energies = Array.from({ length: 1000 }, (_, t) => {
        const [alphaBar, noise] = [alphaBarAt(schedule, t), noiseVarianceAt(schedule, t)];
        return noise / (alphaBar * 0.25 + noise);
      });
      const sampler = ancestral(discretePath(schedule, { steps }), {
        variance: analytic(energies, { range: [-1, 1] }),
      });
      // The last step ends at E[x₀ | x_0]; the start is N(0, 1), not the last marginal, whose variance is less by 3/4 ᾱ.
      const unknown = 0.25 * energies[0];
      const leak = alphaBarAt(schedule, sampler.levels[0].t);
      expect(Math.abs((await finalVariance(sampler)) - (0.25 - unknown))).toBeLessThan(leak);
    },
  );

  test("that of ancestral without clipping, when the mean is found from the noise", async () => {
    const direct = ancestral(discretePath(schedule, { steps: 50 }), { mean: "noise" });
    const plain = ancestral(discretePath(schedule, { steps: 50 }));
    expect(await finalVariance(direct)).toBeCloseTo(await finalVariance(plain), 12);
    // Data wider than the clip.
    const x = tensor([2, -1.5], { backend: exact, shape: [2, 1] });
    const end = async (sampler: Sampler) =>
      (await finalSample(sample(sampler, gaussianModel(100), [2, 1], randomStream(1), { from: { x } }))).data();
    const [a, b, clipped] = [
      await end(direct),
      await end(plain),
      await end(ancestral(discretePath(schedule, { steps: 50, clip: true }))),
    ];
    expect(Math.abs(a[0] / b[0] - 1)).toBeLessThan(1e-9);
    expect(Math.abs(a[0] - clipped[0])).toBeGreaterThan(1);
  });

  test("Euler's method on the schedule's own levels is DDIM", async () => {
    const wanted = await finalVariance(ddim(discretePath(schedule, { steps: 10 })));
    expect(await finalVariance(euler(discretePath(schedule, { steps: 10 })))).toBeCloseTo(wanted, 12);
  });

  test("DDIM with eta 1 is ancestral sampling with the small variance", async () => {
    const noisy = await finalVariance(ddim(discretePath(schedule, { steps: 50 }), { eta: 1 }));
    expect(noisy).toBeCloseTo(await finalVariance(ancestral(discretePath(schedule, { steps: 50 }))), 10);
  });
});

/** The fixture of diffusers' scheduler tests: x · t / (t + 1), from a ramp. */
const ramp: Model = { forward: (x, [t]: readonly number[]) => x.mul(t / (t + 1)) };
const SHAPE = [4, 3, 8, 8];

function rampStart(backend: Backend): Tensor {
  return tensor(
    Float64Array.from({ length: 768 }, (_, i) => {
      const [b, place] = [Math.floor(i / 192), i % 192];
      return (place * 4 + b) / 768;
    }),
    { backend, shape: SHAPE },
  );
}

const backends = [
  { name: "cpu float64", open: async () => exact, skip: false },
  { name: "cpu float32", open: async () => cpu(), skip: false },
  { name: "webgpu", open: () => webgpu(), skip: !gpuAvailable },
];

for (const { name, open, skip } of backends) {
  describe.skipIf(skip)(`diffusers' sums on ${name}`, () => {
    test.each([
      ["DDIM of 10 steps", ddim(discretePath(schedule, { steps: 10, clip: true }), { rederiveNoise: false }), 172.0067],
      ["ancestral with torch's noise of seed 0", ancestral(discretePath(schedule, { clip: true })), 258.9606],
    ])("%s", async (_, sampler, wanted) => {
      const backend = await open();
      const x = await finalSample(sample(sampler, ramp, SHAPE, torchStream(0), { from: { x: rampStart(backend) } }));
      expect(Math.abs((await x.abs().sum().item()) - wanted)).toBeLessThan(1e-2);
    });
  });
}

test.each([
  ["DDIM", ddim],
  ["ancestral sampling", ancestral],
] as const)(
  "data wider than [−1, 1] come out as they are: nothing is clipped unless it is asked for, by %s",
  async (_, make) => {
    const tables = linear(100, { start: 1e-3, end: 0.2 });
    const model = oracleModel(eightGaussians({ radius: 2 }), tables);
    const radius = async (options: { readonly clip?: Clip }) => {
      const run = sample(make(discretePath(tables, options)), model, [400, 2], randomStream(3), {
        backend: exact,
      });
      const x = await finalSample(run);
      return x.square().sum(1).sqrt().mean().item();
    };
    expect(await radius({})).toBeCloseTo(2, 1);
    expect(await radius({ clip: true })).toBeLessThan(1.5); // √2 at the corners
  },
);

test("every step can be watched, and a run can be left", async () => {
  const seen: number[] = [];
  for await (const { step, steps, denoised, x } of sample(
    ddim(discretePath(schedule, { steps: 20 })),
    ramp,
    [2, 3],
    torchStream(0),
    {
      backend: exact,
    },
  )) {
    seen.push(step);
    expect([steps, denoised.shape, x.shape]).toEqual([20, [2, 3], [2, 3]]);
    if (step === 7) break;
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("a model that gives NaN is named with the step", async () => {
  const broken: Model = { forward: (x, [t]: readonly number[]) => (t === 500 ? x.mul(0).div(0) : x) };
  const run = sample(ddim(discretePath(schedule, { steps: 10 })), broken, [2, 3], torchStream(0), { backend: exact });
  await expect(finalSample(run)).rejects.toThrow(
    "sample: the model's output at step 4 (t = 500) has 6 elements that are NaN or infinite, want finite ones",
  );
});

test("a run cannot start from what does not fit it", async () => {
  const x = tensor([1, 2], { backend: exact });
  const from = (state: { x: Tensor; step?: number }, shape = [2]) =>
    finalSample(sample(ddim(discretePath(schedule, { steps: 10 })), ramp, shape, torchStream(0), { from: state }));
  await expect(from({ x }, [3])).rejects.toThrow("sample: from.x has shape [2], want [3]");
  const until = (count: number) =>
    finalSample(
      sample(ddim(discretePath(schedule, { steps: 10 })), ramp, [2], torchStream(0), {
        from: { x, step: 3 },
        until: count,
      }),
    );
  await expect(until(2)).rejects.toThrow("sample: until is 2, want an integer in [3, 10]");
  await expect(until(10.5)).rejects.toThrow("sample: until is 10.5, want an integer in [3, 10]");
  await expect(until(3)).rejects.toThrow("finalSample: the run has no steps, want at least one");
  await expect(from({ x, step: 11 })).rejects.toThrow("sample: from.step is 11, want an integer in [0, 10]");
});

test("bad options are refused", async () => {
  expect(() => ddim(discretePath(schedule, { steps: 50 }), { eta: -0.1 })).toThrow(
    "ddim: eta is -0.1, want a number in [0, 1]",
  );
  expect(() => ancestral(discretePath(schedule, { steps: 1001 }))).toThrow(
    "spacedTimes: 1001 steps of a schedule of 1000",
  );
  const single = sample(ancestral(discretePath(schedule), { variance: learnedRange() }), ramp, [2, 3], torchStream(0), {
    backend: exact,
  });
  await expect(finalSample(single)).rejects.toThrow("want [2,6]");
  const run = sample(ddim(discretePath(schedule, { steps: 50 })), ramp, [1], torchStream(0));
  await expect(finalSample(run)).rejects.toThrow(
    "sample: the model has no parameters to tell its backend, want the backend option",
  );
});
