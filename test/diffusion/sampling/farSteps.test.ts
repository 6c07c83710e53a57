// Solvers where the first step falls from a huge σ, as on cosine schedules: x̂₀ there is a difference of numbers σ times as large.
import {
  cosine,
  discretePath,
  finalSample,
  gaussianOracle,
  linear,
  type NoiseLevel,
  oracleModel,
  type Prediction,
  type Sampler,
  type Schedule,
  sample,
  sigmaOf,
  sigmoid,
  zeroTerminalSnr,
} from "@pkg/diffusion";
import { type Backend, cpu, randomStream, tensor } from "@pkg/tensor";
import { describe, expect, test } from "vitest";
import { openers } from "../../setup/backends.ts";
import { solverCases } from "./solverCases.ts";

const exact = cpu({ precision: "float64" });
const single = cpu();
const [MEAN, STD] = [0.1, 0.5];
const STARTS = [-2, -1, 0, 0.5, 1, 2];
const oracle = gaussianOracle({ mean: [MEAN], variance: STD ** 2 });

const schedules: [name: string, schedule: Schedule, prediction: Prediction][] = [
  ["cosine", cosine(1000), "noise"],
  ["cosine, velocity", cosine(1000), "velocity"],
  ["sigmoid", sigmoid(1000), "noise"],
  ["linear", linear(1000), "noise"],
  ["zero terminal SNR", zeroTerminalSnr(linear(1000)), "velocity"],
];

function setting(schedule: Schedule, prediction: Prediction, spacing: "linspace" | "trailing", steps: number) {
  const path = discretePath(schedule, { steps, spacing, prediction });
  const table = discretePath(schedule, { prediction }).levels.toReversed(); // the data first, then step 0
  /** Of any time that a solver asks at: log σ is linear between steps, as on the path. */
  const levelOf = (t: number): NoiseLevel => {
    const [low, high] = [Math.floor(t), Math.ceil(t)].map((step) => Math.log(sigmaOf(table[step + 1])));
    return Number.isInteger(t) ? table[t + 1] : path.at(Math.exp(low + (t - Math.floor(t)) * (high - low)));
  };
  const model = oracleModel(oracle, levelOf, prediction);
  const ends = async (sampler: Sampler, backend: Backend) => {
    const x = tensor(STARTS, { backend, shape: [STARTS.length, 1] });
    return (await finalSample(sample(sampler, model, x.shape, randomStream(0), { from: { x } }))).data();
  };
  return { path, ends };
}

const farthest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Math.max(...Array.from(a, (value, k) => Math.abs(value - b[k])));

/** What float32 leaves of x̂₀ = (x − noise ε̂) / signal, by the weight of it at the next level, a few times a step. */
const rounding = (levels: readonly NoiseLevel[]) =>
  2 ** -24 * (32 + 8 * Math.max(...levels.slice(1).map(({ signal }, k) => signal * sigmaOf(levels[k]))));

/** Where the exact flow brings the starts: y = x / signal goes as the standard deviation √(σ² + std²) about the mean. */
function flowed([from, to]: readonly [NoiseLevel, NoiseLevel]): number[] {
  const ratio = Math.hypot(sigmaOf(to), STD) / Math.hypot(sigmaOf(from), STD);
  return STARTS.map((x) => to.signal * (MEAN + (x / from.signal - MEAN) * ratio));
}

describe.each(schedules)("%s", (_, schedule, prediction) => {
  describe.each(["linspace", "trailing"] as const)("%s", (spacing) => {
    const { path: whole, ends } = setting(schedule, prediction, spacing, 10);
    const path = { ...whole, levels: whole.levels.slice(0, 4) };
    const wanted = flowed([path.levels[0], path.levels[3]]);

    test.each(solverCases)(
      "the first steps of $name are in float32 those in float64, and within half a deviation of the flow",
      async ({ of: solver, isNoisy }) => {
        const found = await ends(solver(path), exact);
        expect(farthest(await ends(solver(path), single), found)).toBeLessThan(rounding(path.levels));
        if (isNoisy) return;
        expect(farthest(found, wanted)).toBeLessThan(STD / 2);
      },
    );
  });
});

describe.each(openers.filter(({ skip }) => !skip))("on $name", ({ open }) => {
  test.each(solverCases)("$name on a cosine schedule", async ({ of: solver }) => {
    const backend = await open();
    const { path, ends } = setting(cosine(1000), "noise", "trailing", 20);
    const apart = farthest(await ends(solver(path), backend), await ends(solver(path), exact));
    expect(apart).toBeLessThan(rounding(path.levels));
    backend.dispose?.();
  });
});
