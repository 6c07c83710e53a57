// EDM's preconditioning and loss, against their closed forms on Gaussian data.
import { edmLoss, type Model, preconditioned, preconditioning } from "@pkg/diffusion";
import { linear, parameters } from "@pkg/nn";
import { cpu, grad, randomStream, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";
import { listOf } from "../../setup/listOf.ts";

const backend = cpu({ precision: "float64" });

test.each([0.002, 0.5, 3, 80])("at σ = %d inputs and targets have unit variance for data of σ_d", (sigma) => {
  const c = preconditioning(sigma, 0.4);
  // Input: c_in (x₀ + σ ε).
  expect(c.in ** 2 * (0.4 ** 2 + sigma ** 2)).toBeCloseTo(1, 12);
  // Target: (x₀ − c_skip (x₀ + σ ε)) / c_out.
  expect((((1 - c.skip) * 0.4) ** 2 + (c.skip * sigma) ** 2) / c.out ** 2).toBeCloseTo(1, 12);
  expect(c.noise).toBe(Math.log(sigma) / 4);
});

test("a preconditioned network is asked at each sample's σ, and keeps its parameters", async () => {
  const asked: number[] = [];
  const inner: Model & { readonly layer: ReturnType<typeof linear> } = {
    layer: linear(2, 2, { backend, rng: randomStream(0) }),
    forward(x, times) {
      asked.push(...listOf(times));
      return x.mul(2);
    },
  };
  const denoiser = preconditioned(inner, { sigmaData: 0.4 });
  const out = await denoiser.forward(tensor([1, 1, 1, 1], { backend, shape: [2, 2] }), [0.1, 10]).data();
  for (const [row, sigma] of [0.1, 10].entries()) {
    const c = preconditioning(sigma, 0.4);
    expect(asked[row]).toBe(c.noise);
    for (const i of [0, 1]) expect(out[2 * row + i]).toBeCloseTo(c.skip + 2 * c.in * c.out, 12);
  }
  expect(parameters(denoiser)).toEqual(parameters(inner));
});

test("the best denoiser of Gaussian data has loss 1 at every level", async () => {
  // The posterior's variance σ² σ_d² / (σ² + σ_d²) is 1 / λ.
  const best: Model = {
    forward: (x, sigmas) =>
      x.mul(
        tensor(
          listOf(sigmas).map((sigma) => 0.25 / (0.25 + sigma ** 2)),
          { backend, shape: [x.shape[0], 1] },
        ),
      ),
  };
  const rng = randomStream(5);
  const x0 = rng.normal([4000, 10], { backend }).mul(0.5);
  const loss = await edmLoss(best, x0, rng).item();
  // The mean of 40,000 squares of unit normals: standard deviation √(2 / 40,000); five of them.
  expect(Math.abs(loss - 1)).toBeLessThan(5 * Math.sqrt(2 / 40_000));
});

test("the loss is 1 / c_out² times the squared error, at the levels that it draws", async () => {
  const seen: number[] = [];
  const zero: Model = {
    forward(x, sigmas) {
      seen.push(...listOf(sigmas));
      return x.mul(0);
    },
  };
  const options = { mean: 0.3, deviation: 0.7, sigmaData: 0.8 };
  const x0 = tensor([1, -2, 3, 0.5], { backend, shape: [4, 1] });
  const loss = await edmLoss(zero, x0, randomStream(2), options).item();
  const errors = seen.map((sigma, i) => ([1, -2, 3, 0.5][i] / preconditioning(sigma, 0.8).out) ** 2);
  expect(loss).toBeCloseTo(errors.reduce((a, b) => a + b) / 4, 12);

  seen.length = 0;
  await edmLoss(zero, randomStream(1).normal([20_000, 1], { backend }), randomStream(3), options).item();
  const logs = seen.map(Math.log);
  const mean = logs.reduce((a, b) => a + b) / logs.length;
  const variance = logs.reduce((sum, value) => sum + (value - mean) ** 2, 0) / logs.length;
  // Five standard deviations of the mean and of the variance of 20,000 normals.
  expect(Math.abs(mean - 0.3)).toBeLessThan((5 * 0.7) / Math.sqrt(20_000));
  expect(Math.abs(variance / 0.49 - 1)).toBeLessThan(5 * Math.sqrt(2 / 20_000));
});

test("the loss has gradients in the network", async () => {
  const layer = linear(3, 3, { backend, rng: randomStream(1) });
  const network: Model & { readonly layer: typeof layer } = { layer, forward: (x) => layer.forward(x) };
  const denoiser = preconditioned(network);
  const x0 = randomStream(2).normal([8, 3], { backend });
  const gradients = grad(() => edmLoss(denoiser, x0, randomStream(4)), parameters(denoiser));
  for (const gradient of gradients) expect(await gradient.abs().max().item()).toBeGreaterThan(0);
});

test("bad options are refused", () => {
  const identity: Model = { forward: (x) => x };
  const x = tensor([1], { backend, shape: [1, 1] });
  expect(() => preconditioning(0)).toThrow("preconditioning: sigma is 0, want a positive number");
  expect(() => preconditioned(identity, { sigmaData: -1 })).toThrow(
    "preconditioning: sigmaData is -1, want a positive number",
  );
  expect(() => preconditioned(identity).forward(x, [Number.NaN])).toThrow(
    "preconditioned: σ[0] is NaN, want finite numbers",
  );
  expect(() => edmLoss(identity, x, randomStream(0), { deviation: -1 })).toThrow(
    "edmLoss: deviation is -1, want a number from 0 on",
  );
  expect(() => edmLoss(identity, x, randomStream(0), { sigmaData: 0 })).toThrow(
    "edmLoss: sigmaData is 0, want a positive number",
  );
});
