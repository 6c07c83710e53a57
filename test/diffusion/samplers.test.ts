// Samplers against closed forms on Gaussian data, and against the sums that diffusers' scheduler tests pin.
import {
  alphaBarAt,
  ancestral,
  ddim,
  finalSample,
  linear,
  type Model,
  type NoiseSource,
  type Sampler,
  sample,
} from "@pkg/diffusion";
import { type Backend, cpu, type Tensor, tensor, torchStream, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";

const exact = cpu({ precision: "float64" });
const schedule = linear(1000);

/** The best noise prediction for data from N(0, variance): E[ε | x_t], linear in x_t. */
function gaussianModel(variance: number): Model {
  return {
    forward(x, [t]) {
      const alphaBar = alphaBarAt(schedule, t);
      return x.mul(Math.sqrt(1 - alphaBar) / (alphaBar * variance + 1 - alphaBar));
    },
  };
}

/**
 * The variance of what a linear sampler makes of N(0, 1): sample 0 starts at 1 without noise, sample k at 0 with noise 1 in its
 * k-th draw alone, and the squares add up.
 */
async function finalVariance(sampler: Sampler): Promise<number> {
  const batch = sampler.times.length + 1;
  const unit = (at: number) =>
    tensor(
      Float64Array.from({ length: batch }, (_, k) => Number(k === at)),
      { backend: exact },
    );
  let draws = 0;
  const oneAtATime = { normal: () => unit(++draws) } satisfies NoiseSource;
  const x = await finalSample(sample(sampler, gaussianModel(0.25), [batch], oneAtATime, { start: unit(0) }));
  return await x.square().sum().item();
}

describe("on data from N(0, 1/4) with the exact noise prediction the samples' variance is", () => {
  test.each([
    ["ancestral, small variance", ancestral(schedule, { clip: false }), 0.2461252114],
    ["ancestral, large variance", ancestral(schedule, { clip: false, variance: "fixedLarge" }), 0.250752075],
    ["DDIM of 10 steps", ddim(schedule, { steps: 10, clip: false }), 0.1399721299],
    ["DDIM of 1,000 steps", ddim(schedule, { steps: 1000, clip: false }), 0.2484975472],
  ])("%s: %#", async (_, sampler, wanted) => {
    expect(await finalVariance(sampler)).toBeCloseTo(wanted, 8);
  });

  test("DDIM with eta 1 is ancestral sampling with the small variance", async () => {
    const noisy = await finalVariance(ddim(schedule, { steps: 50, eta: 1, clip: false }));
    expect(noisy).toBeCloseTo(await finalVariance(ancestral(schedule, { steps: 50, clip: false })), 10);
  });
});

/** The fixture of diffusers' scheduler tests: x · t / (t + 1), from a ramp. */
const ramp: Model = { forward: (x, [t]) => x.mul(t / (t + 1)) };
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
      ["DDIM of 10 steps", ddim(schedule, { steps: 10 }), 172.0067],
      ["ancestral with torch's noise of seed 0", ancestral(schedule), 258.9606],
    ])("%s", async (_, sampler, wanted) => {
      const backend = await open();
      const x = await finalSample(sample(sampler, ramp, SHAPE, torchStream(0), { start: rampStart(backend) }));
      expect(Math.abs((await x.abs().sum().item()) - wanted)).toBeLessThan(1e-2);
    });
  });
}

test("every step can be watched, and a run can be left", async () => {
  const seen: number[] = [];
  for await (const { step, steps, denoised, x } of sample(ddim(schedule, { steps: 20 }), ramp, [2, 3], torchStream(0), {
    backend: exact,
  })) {
    seen.push(step);
    expect([steps, denoised.shape, x.shape]).toEqual([20, [2, 3], [2, 3]]);
    if (step === 7) break;
  }
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
});

test("bad options are refused", async () => {
  expect(() => ddim(schedule, { eta: -0.1 })).toThrow("ddim: eta is -0.1, want a number in [0, 1]");
  expect(() => ancestral(schedule, { steps: 1001 })).toThrow("spacedTimes: 1001 steps of a schedule of 1000");
  const run = sample(ddim(schedule), ramp, [1], torchStream(0));
  await expect(finalSample(run)).rejects.toThrow(
    "sample: the model has no parameters to tell its backend, want the backend option",
  );
});
