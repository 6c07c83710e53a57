// The diffusion loss in continuous time and in T steps, against closed forms on Gaussian data.
import { linearGamma, vdmLoss } from "@pkg/diffusion";
import { cpu, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { expect, test } from "vitest";

const backend = cpu({ precision: "float64" });
const VARIANCE = 0.25;
const curve = linearGamma({ start: -6, end: 4 });

/** E[ε | x_t] of data from N(0, 1/4) at log-SNR −γ. */
const model = {
  forward(x: Tensor, times: readonly number[]): Tensor {
    const gain = times.map((t) => {
      const noise = 1 / (1 + Math.exp(-curve.gamma(t / 1000)));
      return Math.sqrt(noise) / ((1 - noise) * VARIANCE + noise);
    });
    return x.mul(tensor(gain, { backend, shape: [times.length, 1] }));
  },
};

/** E ‖ε − E[ε | x_t]‖² / d. */
const remaining = (gamma: number) => VARIANCE / (VARIANCE + Math.exp(gamma));

async function averageLoss(steps: number | undefined): Promise<{ mean: number; error: number }> {
  const rng = randomStream(1);
  const losses: number[] = [];
  for (let k = 0; k < 40; k++) {
    const x0 = rng.normal([128, 4], { backend, std: Math.sqrt(VARIANCE) });
    losses.push(await vdmLoss(model, curve, x0, rng, { steps }).item());
  }
  const mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  const squares = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0);
  return { mean, error: Math.sqrt(squares / (losses.length - 1) / losses.length) };
}

test("in continuous time it is ½ ∫ E‖ε − ε̂‖² dγ", async () => {
  const integral = (gamma: number) => 0.5 * (gamma - Math.log(VARIANCE + Math.exp(gamma)));
  const { mean, error } = await averageLoss(undefined);
  expect(Math.abs(mean - (integral(4) - integral(-6)))).toBeLessThan(5 * error);
  expect(error).toBeLessThan(0.05 * mean);
});

test.each([1, 3, 20])("in %i steps it is the sum over them", async (steps) => {
  let wanted = 0;
  for (let i = 1; i <= steps; i++) {
    const [s, t] = [(i - 1) / steps, i / steps].map(curve.gamma);
    wanted += 0.5 * Math.expm1(t - s) * remaining(t);
  }
  const { mean, error } = await averageLoss(steps);
  expect(Math.abs(mean - wanted)).toBeLessThan(5 * error);
  expect(error).toBeLessThan(0.1 * mean);
});

test("the model is told 1000 t, or what it calls t", async () => {
  const seen: number[][] = [];
  const spy = {
    forward(x: Tensor, times: readonly number[]) {
      seen.push([...times]);
      return x;
    },
  };
  const x0 = randomStream(1).normal([4, 2], { backend });
  await vdmLoss(spy, curve, x0, randomStream(2), { steps: 4 }).item();
  await vdmLoss(spy, curve, x0, randomStream(2), { steps: 4, label: (t) => 4 * t }).item();
  expect([...seen[0]].sort()).toEqual([1000, 250, 500, 750]);
  expect([...seen[1]].sort()).toEqual([1, 2, 3, 4]);
});

test("curves that do not rise and steps that are none are refused", () => {
  const x0 = randomStream(1).normal([2, 2], { backend });
  const flat = { gamma: () => 0, slope: () => 0 };
  expect(() => vdmLoss(model, flat, x0, randomStream(0))).toThrow("gives the weight 0, want a curve that rises");
  expect(() => vdmLoss(model, curve, x0, randomStream(0), { steps: 0 })).toThrow("vdmLoss: 0 steps");
  expect(() => linearGamma({ start: 1, end: 1 })).toThrow("linearGamma: γ from 1 to 1, want finite numbers");
});
