// Power-function averages: their weights, and averages of other lengths made of snapshots afterwards.
import { type EmaSnapshot, postHocEma, postHocWeights, powerEma, powerGamma } from "@pkg/nn";
import { type Backend, cpu, randomStream, type Tensor, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";

const float64 = () => cpu({ precision: "float64" });
const LONGEST = 1 / Math.sqrt(12);

/** Weights of the parameters of updates 1, …, t in the average after t: those of parameters that are 1 at one update and 0 elsewhere. */
async function profile(sigmaRel: number, t: number): Promise<number[]> {
  const module = { w: tensor(new Float64Array(t), { backend: float64() }) };
  const average = powerEma(module, sigmaRel);
  for (let step = 0; step < t; step++) {
    module.w.assign(
      tensor(
        Float64Array.from({ length: t }, (_, k) => Number(k === step)),
        { backend: module.w.backend },
      ),
    );
    average.update();
  }
  return Array.from((await average.state().get("w")?.data()) ?? []);
}

test("the weights are those of p(τ) ∝ τ^γ over each step, and their spread is σ_rel", async () => {
  for (const sigmaRel of [0.05, 0.1, 0.25, LONGEST]) {
    const t = 400;
    const gamma = powerGamma(sigmaRel);
    const weights = await profile(sigmaRel, t);
    for (const [k, weight] of weights.entries()) {
      const wanted = ((k + 1) / t) ** (gamma + 1) - (k / t) ** (gamma + 1);
      expect(Math.abs(weight - wanted)).toBeLessThan(1e-13);
    }
    const mean = weights.reduce((sum, w, k) => sum + w * (k + 0.5), 0);
    const spread = Math.sqrt(weights.reduce((sum, w, k) => sum + w * (k + 0.5 - mean) ** 2, 0)) / t;
    expect(Math.abs(spread - sigmaRel)).toBeLessThan(1e-5);
  }
});

test("γ and σ_rel are those of the paper's polynomial γ³ + 7γ² + (16 − σ⁻²)γ + 12 − σ⁻² = 0", () => {
  expect(powerGamma(LONGEST)).toBeCloseTo(0, 6);
  for (const [sigmaRel, known] of [
    [0.05, 16.97],
    [0.1, 6.94],
  ] as const) {
    const gamma = powerGamma(sigmaRel);
    expect(gamma).toBeCloseTo(known, 2);
    const t = sigmaRel ** -2;
    expect(Math.abs(gamma ** 3 + 7 * gamma ** 2 + (16 - t) * gamma + 12 - t)).toBeLessThan(1e-9 * gamma ** 3);
  }
});

/** ∫ p_a p_b of profiles on [0, step], by the midpoint rule. */
function integral(a: { sigmaRel: number; step: number }, b: { sigmaRel: number; step: number }): number {
  const [g, h] = [powerGamma(a.sigmaRel), powerGamma(b.sigmaRel)];
  const end = Math.min(a.step, b.step);
  const n = 200_000;
  let sum = 0;
  for (let k = 0; k < n; k++) {
    const tau = ((k + 0.5) / n) * end;
    sum += (((g + 1) * (tau / a.step) ** g) / a.step) * (((h + 1) * (tau / b.step) ** h) / b.step);
  }
  return (sum * end) / n;
}

test("the weights of snapshots are those of least squares, by integrals of the profiles", () => {
  const snapshots = [
    { sigmaRel: 0.1, step: 50 },
    { sigmaRel: 0.1, step: 100 },
  ];
  const wanted = { sigmaRel: 0.11, step: 100 };
  const { weights, error } = postHocWeights(snapshots, wanted);
  // With weights w and 1 − w: the minimum of ‖w (p₁ − p₂) − (p − p₂)‖².
  const [p1, p2] = snapshots;
  const difference = integral(p1, p1) - 2 * integral(p1, p2) + integral(p2, p2);
  const along = integral(p1, wanted) - integral(p2, wanted) - integral(p1, p2) + integral(p2, p2);
  expect(weights[0]).toBeCloseTo(along / difference, 6);
  expect(weights[0] + weights[1]).toBeCloseTo(1, 12);
  const far = integral(wanted, wanted) - 2 * integral(wanted, p2) + integral(p2, p2) - along ** 2 / difference;
  expect(error).toBeCloseTo(Math.sqrt(far / integral(wanted, wanted)), 6);
});

test("a snapshot of the length and step that are wanted is taken alone", () => {
  const snapshots = [20, 40, 60].flatMap((step) => [0.05, 0.1].map((sigmaRel) => ({ sigmaRel, step })));
  for (const [k, wanted] of snapshots.entries()) {
    const { weights, error } = postHocWeights(snapshots, wanted);
    for (const [j, weight] of weights.entries()) expect(Math.abs(weight - Number(j === k))).toBeLessThan(1e-6);
    expect(error).toBeLessThan(1e-6);
  }
});

const values = async (state: ReadonlyMap<string, Tensor>) => [...((await state.get("w")?.data()) ?? [])];

/** A training whose parameters wander towards where they stay, with averages of some lengths; snapshots of the first two. */
async function training(backend: Backend, tracked: readonly number[]) {
  const rng = randomStream(5);
  const [size, steps, every] = [64, 800, 50];
  const module = { w: rng.normal([size], { backend }).contiguous() };
  const goal = rng.normal([size], { backend }).add(3);
  const kept = [0.05, 0.1].map((sigmaRel) => ({ sigmaRel, average: powerEma(module, sigmaRel) }));
  const truth = tracked.map((sigmaRel) => ({ sigmaRel, average: powerEma(module, sigmaRel) }));
  const snapshots: EmaSnapshot[] = [];
  for (let step = 1; step <= steps; step++) {
    const noise = rng.normal([size], { backend }).mul(0.3);
    module.w.assign(module.w.lerp(goal, 0.005).add(noise));
    for (const { average } of [...kept, ...truth]) average.update();
    if (step % every !== 0) continue;
    for (const { sigmaRel, average } of kept) {
      const state = new Map([...average.state()].map(([path, value]) => [path, value.mul(1)]));
      snapshots.push({ sigmaRel, step, state: () => state });
    }
  }
  return { snapshots, truth };
}

describe.each(openers.filter(({ name }) => name !== "webgpu"))("on $name", ({ open }) => {
  test("averages of other lengths are those that were kept, within the error of their profiles", async () => {
    const backend = await open();
    const { snapshots, truth } = await training(backend, [0.035, 0.07, 0.15, 0.2]);
    for (const { sigmaRel, average } of truth) {
      const { error } = postHocWeights(snapshots, { sigmaRel });
      const [found, wanted] = [await values(postHocEma(snapshots, { sigmaRel })), await values(average.state())];
      const distance = Math.hypot(...found.map((x, k) => x - wanted[k])) / Math.hypot(...wanted);
      // Parameters move by less than they are long: so do averages. 16 pairs span these lengths with errors up to 3 %.
      expect(error).toBeLessThan(0.03);
      expect(distance, `${sigmaRel}`).toBeLessThan(0.003);
      // Neither of the two lengths that were kept is as near by half.
      for (const own of snapshots.slice(-2)) {
        const other = await values(own.state());
        expect(Math.hypot(...other.map((x, k) => x - wanted[k]))).toBeGreaterThan(
          2 * Math.hypot(...found.map((x, k) => x - wanted[k])),
        );
      }
    }
    backend.dispose();
  });

  test("an average is saved and goes on with the same bits", async () => {
    const backend = await open();
    const rng = randomStream(6);
    const module = { w: rng.normal([9], { backend }).contiguous() };
    const whole = powerEma(module, 0.1);
    let part = powerEma(module, 0.1);
    for (let step = 0; step < 6; step++) {
      if (step === 3) {
        const resumed = powerEma(module, 0.1);
        resumed.load(part.state(), part.updates);
        part = resumed;
      }
      module.w.assign(rng.normal([9], { backend }));
      for (const average of [whole, part]) average.update();
    }
    expect(await values(part.state())).toEqual(await values(whole.state()));
    expect(part.updates).toBe(6);
    backend.dispose();
  });
});

test("lengths that no snapshots span, and what is no length, are refused with what was wanted", () => {
  const backend = cpu();
  const module = { w: tensor([1], { backend }) };
  for (const wrong of [0, -0.1, 0.3, Number.NaN, "0.1" as unknown as number])
    expect(() => powerEma(module, wrong)).toThrow(/^powerEma: sigmaRel is .*, want a number in \(0, 0\.2887\]$/);
  expect(() => powerEma(module, 0.1).load(new Map(), -1)).toThrow("powerEma: load: updates is -1, want an integer ≥ 0");
  const snapshots = [10, 20, 30, 40].flatMap((step) => [0.05, 0.1].map((sigmaRel) => ({ sigmaRel, step })));
  expect(() => postHocWeights(snapshots, { sigmaRel: 0.01 })).toThrow(
    /^postHocWeights: sigmaRel is 0\.01, want one that the 8 snapshots span, in \[0\.03\d, 0\.1\d\d\]$/,
  );
  expect(() => postHocWeights(snapshots.slice(0, 2), { sigmaRel: 0.2 })).toThrow(
    /^postHocWeights: sigmaRel is 0\.2, want/,
  );
  expect(() => postHocWeights(snapshots, { sigmaRel: 0.07, step: 41 })).toThrow(
    "postHocWeights: step is 41, want at most 40, that of the last snapshot",
  );
  expect(() => postHocWeights(snapshots, { sigmaRel: 0.07, step: 5 })).toThrow("these 8 span none at step 5");
  expect(() => postHocWeights(snapshots, { sigmaRel: 0.4 })).toThrow("postHocWeights: sigmaRel is 0.4, want a number");
  expect(() => postHocWeights([], { sigmaRel: 0.1 })).toThrow("postHocWeights: snapshots is");
  let asked = 0;
  const counted = snapshots.map((snapshot) => ({
    ...snapshot,
    state: () => new Map([["w", tensor([++asked], { backend })]]),
  }));
  expect(() => postHocEma(counted, { sigmaRel: 0.01 })).toThrow("postHocWeights: sigmaRel is 0.01");
  expect(asked).toBe(0);
  const given = counted.map((snapshot, k) => (k === 7 ? { ...snapshot, state: new Map() as never } : snapshot));
  expect(() => postHocEma(given, { sigmaRel: 0.07 })).toThrow(
    /^postHocEma: snapshots\[7\]\.state is .*, want a function/,
  );
  expect(asked).toBe(0);
  const wrong = { step: 3 } as unknown as (typeof snapshots)[0];
  expect(() => postHocWeights([snapshots[0], wrong], { sigmaRel: 0.1 })).toThrow(
    "postHocWeights: snapshots[1].sigmaRel is undefined, want a number in",
  );
});

test("states that make no average are refused: of other paths or shapes, and what is no state", () => {
  const backend = cpu();
  const mixed = (other: unknown) => () =>
    postHocEma(
      [
        { sigmaRel: 0.05, step: 10, state: () => new Map([["w", tensor([1], { backend })]]) },
        { sigmaRel: 0.1, step: 20, state: other as () => Map<string, Tensor> },
      ],
      { sigmaRel: 0.1 },
    );
  const state = (path: string, values: number[]) => () => new Map([[path, tensor(values, { backend })]]);
  expect(mixed(state("v", [1]))).toThrow(
    /^postHocEma: w of snapshots\[1\]\.state\(\) is none, want Tensor.* as in the first/,
  );
  expect(mixed(state("w", [1, 2]))).toThrow(/^postHocEma: w of snapshots\[1\]\.state\(\) is Tensor\(float32 \[2\]/);
  expect(mixed(() => ({ w: 1 }))).toThrow("postHocEma: snapshots[1].state() is an object with w, want a Map");
  expect(mixed(undefined)).toThrow("postHocEma: snapshots[1].state is undefined, want a function");
  expect(mixed(state("w", [3]))().size).toBe(1);
});
