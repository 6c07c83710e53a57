// Loss scaling: it changes nothing while gradients are finite, skips those that are not, resumes to the bit, and saves small gradients.
import { adamW, type Optimizer, parameters, unet } from "@pkg/nn";
import { type Backend, cpu, randomStream, type Tensor, tensor, webgpu } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../setup/backends.ts";
import { gpuAvailable } from "../setup/gpu.ts";

/** Two weights w and the loss (w · x − y)² · factor. */
function problem(backend: Backend) {
  const w = tensor([[0.5], [-0.25]], { backend });
  const [x, y] = [
    tensor(
      [
        [1, 2],
        [3, -1],
        [0.5, 4],
      ],
      { backend },
    ),
    tensor([[1], [2], [3]], { backend }),
  ];
  return { w, loss: (factor: number) => () => x.matmul(w).sub(y).square().mean().mul(factor) };
}

async function numbers(of: Optimizer, w: Tensor): Promise<number[][]> {
  return Promise.all([w, ...of.state().values()].map(async (t) => [...(await t.data())]));
}

const scale = async (optimizer: Optimizer) => (await optimizer.state().get("lossScale")?.data())?.[0];

test("with finite gradients the updates are those without it", async () => {
  const backend = cpu({ precision: "float64" });
  const trained = await Promise.all(
    [false, true].map(async (lossScaling) => {
      const { w, loss } = problem(backend);
      const optimizer = adamW([w], { lr: 0.01, clipNorm: 0.7, weightDecay: 0.1, lossScaling });
      const losses: number[] = [];
      for (let step = 0; step < 50; step++) losses.push(await optimizer.minimize(loss(1)).item());
      return [...losses, ...(await w.data())];
    }),
  );
  for (const [k, value] of trained[0].entries()) expect(Math.abs(trained[1][k] - value)).toBeLessThan(1e-11);
});

describe.each(openers)("on $name", ({ open, skip }) => {
  test.skipIf(skip)("a gradient that is not finite changes nothing but the scale, which grows again", async () => {
    const backend = await open();
    const { w, loss } = problem(backend);
    const optimizer = adamW([w], { lr: 0.01, lossScaling: { initial: 8, interval: 2 } });
    expect(await optimizer.lossScale()?.item()).toBe(8);
    optimizer.minimize(loss(1));
    const before = await numbers(optimizer, w);
    for (const factor of [Infinity, Number.NaN]) {
      optimizer.minimize(loss(factor));
      const after = await numbers(optimizer, w);
      expect(after.slice(0, -1)).toEqual(before.slice(0, -1));
      // Neither do skipped updates count for the corrections.
      expect(after.at(-1)?.slice(2)).toEqual(before.at(-1)?.slice(2));
    }
    expect(await scale(optimizer)).toBe(2);
    for (let step = 0; step < 5; step++) optimizer.minimize(loss(1));
    expect(await scale(optimizer)).toBe(8);
    expect(optimizer.steps).toBe(8);
    backend.dispose();
  });

  test.skipIf(skip)("a run that is saved and resumed goes on to the same bits", async () => {
    const backend = await open();
    const options = { lr: 0.01, clipNorm: 1, lossScaling: { initial: 4, interval: 3 } };
    const factors = [1, Infinity, 1, 1, 1, 1, 2];
    const { w, loss } = problem(backend);
    const whole = adamW([w], options);
    for (const factor of factors) whole.minimize(loss(factor));

    const { w: begun, loss: lossOfBegun } = problem(backend);
    const first = adamW([begun], options);
    for (const factor of factors.slice(0, 4)) first.minimize(lossOfBegun(factor));
    const second = adamW([begun], options);
    second.load(first.state(), first.steps);
    for (const factor of factors.slice(4)) second.minimize(lossOfBegun(factor));
    expect(await numbers(second, begun)).toEqual(await numbers(whole, w));
    backend.dispose();
  });
});

test.skipIf(!gpuAvailable)("in mixed precision gradients that float16 rounds to zero train all the same", async () => {
  const backend = await webgpu({ precision: "mixed" });
  const after = async (lossScaling: boolean) => {
    const { w, loss } = problem(backend);
    const optimizer = adamW([w], { lr: 0.01, epsilon: 1e-20, lossScaling });
    for (let step = 0; step < 3; step++) optimizer.minimize(loss(1e-9));
    return [...(await w.data())];
  };
  expect(await after(false)).toEqual([0.5, -0.25]);
  const [a, b] = await after(true);
  expect(Math.abs(a - 0.5)).toBeGreaterThan(0.02);
  expect(Math.abs(b + 0.25)).toBeGreaterThan(0.02);
  backend.dispose();
});

test.skipIf(!gpuAvailable)("a U-Net trains in mixed precision as it does in float32", async () => {
  const trained = await Promise.all(
    (["float32", "mixed"] as const).map(async (precision) => {
      const backend = await webgpu({ precision });
      const rng = randomStream(3);
      const model = unet(
        { inChannels: 1, channels: 8, multipliers: [1, 2], blocks: 1, attentionLevels: [1] },
        { backend, rng: rng.split("weights") },
      );
      const lossScaling = precision === "mixed" && { initial: 1024, interval: 2 };
      const optimizer = adamW(parameters(model), { lr: 2e-3, clipNorm: 1, lossScaling });
      const losses: number[] = [];
      for (let step = 0; step < 4; step++) {
        const noise = rng.normal([2, 8, 8, 1], { backend });
        losses.push(await optimizer.minimize(() => model.forward(noise, [1, 2]).sub(noise).square().mean()).item());
      }
      expect(await optimizer.lossScale()?.item()).toBe(precision === "mixed" ? 4096 : undefined);
      backend.dispose();
      return losses;
    }),
  );
  const [single, mixed] = trained;
  expect(single[3]).toBeLessThan(single[0]);
  // Halves have 11 bits; an update as large as any is 1 % of a weight, and a rounded gradient can turn one that is about zero.
  for (const [k, loss] of single.entries()) expect(Math.abs(mixed[k] - loss)).toBeLessThan(1e-3 * loss);
});

test("options out of range are refused", () => {
  const { w } = problem(cpu());
  const make = (lossScaling: { initial?: number; interval?: number }) => () => adamW([w], { lr: 1, lossScaling });
  expect(make({ initial: 3 })).toThrow("adamW: lossScaling.initial is 3, want a power of two ≥ 1");
  expect(make({ initial: 0 })).toThrow("adamW: lossScaling.initial is 0");
  expect(make({ interval: 0.5 })).toThrow("adamW: lossScaling.interval is 0.5, want a positive integer");
  expect(adamW([w], { lr: 1 }).lossScale()).toBeUndefined();
});
