// The measured order and bias of every sampler, as the tables of docs/samplers.md.
import {
  acceptance,
  ancestral,
  annealedLangevin,
  type DiscretePath,
  ddim,
  discretePath,
  euler,
  eulerAncestral,
  eulerMaruyama,
  exponential,
  fixedLarge,
  flowPath,
  gaussianOracle,
  karras,
  langevin,
  linear,
  linearInterpolant,
  metropolis,
  mixtureOracle,
  type NoiseLevel,
  type NoisePath,
  oracleModel,
  oraclePath,
  predictorCorrector,
  reverseDiffusion,
  type Sampler,
  type SamplerReport,
  type SamplerRun,
  type Sde,
  type SdePath,
  sample,
  sampleFlow,
  sdePath,
  sigmaPath,
  subVpSde,
  verifySampler,
  veSde,
  vpInterpolant,
  vpSde,
} from "@pkg/diffusion";
import { cpu, randomStream, type Tensor, tensor, wasm } from "@pkg/tensor";
import { pathOfSigmas } from "./knownFlow.ts";
import { solverCases } from "./solverCases.ts";

const MEAN = 0.1;
const VARIANCE = 0.25;
const gaussian = gaussianOracle({ mean: [MEAN], variance: VARIANCE });
const mixture = mixtureOracle({ weights: [0.3, 0.7], means: [[-1], [1]], variances: 0.16 });

/** A path on which the Gaussian's denoiser answers: `oraclePath` in two operations. */
function answered<Path extends NoisePath>(path: Path): Path {
  const total = ({ signal, noise }: NoiseLevel) => signal ** 2 * VARIANCE + noise ** 2;
  return {
    ...path,
    denoise: (_, x, level) => {
      const gain = (level.signal * VARIANCE) / total(level);
      return x.affine(gain, MEAN * (1 - gain * level.signal));
    },
    score: (_, x, level) => x.affine(-1 / total(level), (level.signal * MEAN) / total(level)),
    noise: (_, x, level) => x.affine(level.noise / total(level), (-level.noise * level.signal * MEAN) / total(level)),
  };
}

/** What `pnpm orders` writes: sections of text by the name of their place in docs/samplers.md. */
export async function samplerTables(): Promise<Record<string, string>> {
  return {
    paths: await pathTable(),
    flows: await flowTable(),
    sdes: await sdeTable(),
    schedule: await scheduleTable(),
    scores: await scoreTable(),
  };
}

/** Orders on even log σ, the ODE's also on the mixture; biases on Karras' levels. */
async function pathTable(): Promise<string> {
  const even = (steps: number) => pathOfSigmas(exponential(steps + 1, { min: 0.05, max: 10 }));
  const rows: string[][] = [];
  for (const { name, of, calls, isNoisy } of solverCases) {
    const { order } = await verifySampler((steps) => of(answered(even(steps))), gaussian, {
      steps: [32, 64, 128, 256],
    });
    const strong = isNoisy
      ? undefined
      : await verifySampler((steps) => of(oraclePath(even(steps), mixture)), mixture, {
          steps: [64, 128, 256],
          draws: 64,
        });
    const { runs } = await verifySampler((steps) => of(answered(pathOfSigmas(karras(steps)))), gaussian, {
      steps: [10, 20, 50],
    });
    const label = name.replace(/^\w+/, "`$&`");
    rows.push([label, `${calls}`, rounded(order), strong ? rounded(strong.order) : "", ...runs.map(biasOf)]);
  }
  const [loose, close, closest] = [await adaptive(1e-5), await adaptive(1e-7), await adaptive(1e-10)];
  const order = Math.log(1e-7 / 1e-10) / Math.log(closest.calls / close.calls);
  const name = `\`sampleFlow\`, 1e-5: ${loose.calls} calls`;
  rows.push([name, "6", rounded(order), "", "", "", scientific(loose.error)]);
  return table(
    ["solver", "calls per step", "order", "order, mixture", "error, 10 steps", "20 steps", "50 steps"],
    rows,
  );
}

/** Every solver that takes any path, on even times of a flow. */
async function flowTable(): Promise<string> {
  const rows: string[][] = [];
  for (const { name, of, calls } of solverCases.filter(({ name }) => name !== "ancestral")) {
    const errors: string[] = [];
    for (const interpolant of [linearInterpolant(), vpInterpolant()]) {
      // Solvers of any path take this one too, though the list types them by paths that all take.
      const on = (steps: number) => of(answered(flowPath({ steps, interpolant })) as unknown as DiscretePath);
      const { runs } = await verifySampler(on, gaussian, { steps: [10, 20, 40] });
      errors.push(...runs.map(biasOf));
    }
    rows.push([name.replace(/^\w+/, "`$&`"), `${calls}`, ...errors]);
  }
  return table(
    ["solver", "calls per step", "linear, 10 steps", "20 steps", "40 steps", "VP, 10 steps", "20 steps", "40 steps"],
    rows,
  );
}

/** What adaptive steps make of the Gaussian on the same ends: the error, and at how many calls of the model. */
async function adaptive(tolerance: number): Promise<{ calls: number; error: number }> {
  const path = answered(sigmaPath(karras(2)));
  const backend = cpu({ precision: "float64" });
  const options = { backend, from: tensor([[0], [path.prior]], { backend }), rtol: tolerance, atol: tolerance };
  let calls = 0;
  let ends: ArrayLike<number> = [];
  for await (const step of sampleFlow(path, { forward: (x) => x }, [2, 1], randomStream(0), options)) {
    calls = step.evaluations;
    ends = await step.x.data();
  }
  return { calls, error: Math.hypot(ends[0] - MEAN, ends[1] - ends[0] - Math.sqrt(VARIANCE)) };
}

const sdes: readonly (readonly [name: string, sde: Sde])[] = [
  ["VP", vpSde()],
  ["sub-VP", subVpSde()],
  ["VE", veSde()],
];

/** Even times down to the SDE's own smallest; with norms over a batch samples are drawn. */
async function sdeTable(): Promise<string> {
  const rows: string[][] = [];
  for (const [name, sde] of sdes) {
    const path = (steps: number): SdePath => answered(sdePath(sde, { steps }));
    const exact = async (label: string, sampler: (path: SdePath) => Sampler) => {
      const { order, runs } = await verifySampler((steps) => sampler(path(steps)), gaussian, {
        steps: [50, 100, 200, 400],
      });
      rows.push([`${label} on ${name}`, rounded(order), ...runs.map(biasOf)]);
    };
    await exact("`eulerMaruyama`", eulerMaruyama);
    await exact("`reverseDiffusion`", reverseDiffusion);
    await exact("`eulerAncestral`", eulerAncestral);
    await exact("`euler` (the ODE)", euler);
    const { runs } = await verifySampler(
      (steps) => predictorCorrector(reverseDiffusion(path(steps)), path(steps), { snr: 0.16 }),
      gaussian,
      { steps: [50, 100], draws: 16_000, backend: await wasm() },
    );
    rows.push([`\`predictorCorrector\` of \`reverseDiffusion\` on ${name}`, "", ...runs.map(biasOf), "", ""]);
  }
  return table(["sampler", "order", "error, 50 steps", "100 steps", "200 steps", "400 steps"], rows);
}

/** Steps of the linear schedule of 1,000, spaced "trailing". */
async function scheduleTable(): Promise<string> {
  const schedule = linear(1000);
  const model = oracleModel(gaussian, schedule);
  const options = { spacing: "trailing" } as const;
  const cases: [string, (steps: number) => Sampler][] = [
    ["`ddim`", (steps) => ddim(discretePath(schedule, { steps, ...options }))],
    ["`ddim`, eta 1", (steps) => ddim(discretePath(schedule, { steps, ...options }), { eta: 1 })],
    ["`ancestral`, `fixedSmall`", (steps) => ancestral(discretePath(schedule, { steps, ...options }))],
    [
      "`ancestral`, `fixedLarge`",
      (steps) => ancestral(discretePath(schedule, { steps, ...options }), { variance: fixedLarge() }),
    ],
  ];
  const rows: string[][] = [];
  for (const [name, sampler] of cases) {
    const { order, runs } = await verifySampler(sampler, gaussian, { model, steps: [25, 50, 100, 200] });
    rows.push([name, rounded(order), ...runs.map(biasOf)]);
  }
  return table(["sampler", "order", "error, 25 steps", "50 steps", "100 steps", "200 steps"], rows);
}

/** Samplers by the score alone, near their stationary distribution, by step size. */
async function scoreTable(): Promise<string> {
  const score = { forward: (x: Tensor) => x.affine(-1 / VARIANCE, MEAN / VARIANCE) };
  const sizes = [4, 8, 16, 32]; // τ = s² / these
  const rows: string[][] = [];
  const add = (name: string, { order, runs }: SamplerReport, note = "") =>
    rows.push([name, rounded(order), ...runs.map(biasOf), note]);
  add(
    "`langevin`",
    await verifySampler((k) => langevin({ steps: 16 * k, stepSize: VARIANCE / k }), gaussian, {
      model: score,
      steps: sizes,
    }),
  );
  const chain = (k: number) =>
    metropolis({ steps: 16 * k, stepSize: VARIANCE / k, logDensity: (x) => gaussian.logDensity(x) });
  const rates: number[] = [];
  for (const k of sizes) {
    const run = sample(chain(k), score, [1000, 1], randomStream(1), { backend: await wasm() });
    for await (const state of run) if (state.step === state.steps) rates.push(await acceptance(state).mean().item());
  }
  add(
    "`metropolis`",
    await verifySampler(chain, gaussian, { model: score, steps: sizes, draws: 4000, backend: await wasm() }),
    `accepts ${rates.map((rate) => rate.toFixed(2)).join(", ")}`,
  );
  const levels = answered(sigmaPath(exponential(10, { min: 0.05, max: 5 })));
  add(
    "`annealedLangevin`, 10 levels",
    await verifySampler((k) => annealedLangevin(levels, { stepSize: 0.05 ** 2 / k, stepsPerLevel: 4 * k }), gaussian, {
      steps: sizes,
    }),
  );
  return table(["sampler", "order in 1/τ", ...sizes.map((k) => `error, τ = s²/${k}`), ""], rows);
}

/** The error, with the standard error that chance gives it. */
function biasOf({ error, variance, standardErrors }: SamplerRun): string {
  if (!standardErrors) return scientific(error);
  const chance = Math.hypot(standardErrors.mean, standardErrors.variance / (2 * Math.sqrt(variance)));
  return `${scientific(error)} ± ${scientific(chance)}`;
}

function rounded(order: number | undefined): string {
  return order === undefined ? "" : order.toFixed(2);
}

function scientific(value: number): string {
  return value.toExponential(1);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, k) => (k === 0 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}
