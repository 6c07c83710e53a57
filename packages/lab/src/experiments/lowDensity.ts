// Where there is no data, implicit score matching learns nothing; noise puts data there.

import {
  annealedLangevin,
  annealedScoreMatching,
  exponential,
  finalSample,
  implicitScoreMatching,
  langevin,
  type Model,
  mixtureOracle,
  type NoisyScore,
  type Score,
  sample,
  sigmaPath,
} from "@pkg/diffusion";
import { tensor } from "@pkg/tensor";
import { clouds } from "../charts.ts";
import { energyDistance } from "../distance.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, train } from "../training.ts";

const MEANS = [
  [-2, -1],
  [2, 0],
  [0, 2.5],
];
const WEIGHTS = [0.6, 0.3, 0.1];
const VARIANCE = 0.08;
const ORACLE = mixtureOracle({ weights: WEIGHTS, means: MEANS, variances: VARIANCE });
const LARGEST = 4;
const SIGMAS = exponential(12, { min: 0.1, max: LARGEST });
const SAMPLES = 1000;
/** Half of the side of the square in which scores are compared, and the places of a side. */
const REACH = 4;
const PLACES = 65;

export const lowDensity: Experiment = {
  name: "density",
  title: "Implicit score matching fails where there is no data; denoising fills it",
  claim:
    "S1, section 2.3: where p is about zero, errors of the score hardly count, so sampling that starts there goes wrong; section 2.4: noise fills the gaps. S2, pitfalls, says the same.",
  async run({ backend, rng }) {
    const data = (n: number) => ORACLE.sample(n, draws, { backend });
    const draws = rng.split("training");
    const implicit = pointNetwork({ backend, rng: rng.split("implicit") });
    const implicitScore: Score = (x) => implicit.forward(x);
    await train(implicit, (batch) => implicitScoreMatching(implicitScore, data(batch)));

    const denoising = pointNetwork({ backend, rng: rng.split("denoising") }, { timeChannels: 16 });
    const noisyScore: NoisyScore = (x, sigmas) => {
      const scales = tensor(sigmas, { backend, shape: [sigmas.length, 1] });
      return denoising.forward(x, sigmas.map(timeOf)).div(scales);
    };
    await train(denoising, (batch) => annealedScoreMatching(noisyScore, data(batch), SIGMAS, draws));

    const side = Array.from({ length: PLACES }, (_, k) => REACH * ((2 * k) / (PLACES - 1) - 1));
    const grid = tensor(
      side.flatMap((y) => side.map((x) => [x, y])),
      { backend },
    );
    const level = { signal: 1, noise: LARGEST };
    const read = async (x: { data(): Promise<ArrayLike<number>> }) => x.data();
    const errors = {
      implicit: relative(await read(implicitScore(grid)), await read(ORACLE.score(grid))),
      denoising: relative(
        await read(noisyScore(grid, new Array<number>(PLACES ** 2).fill(LARGEST))),
        await read(ORACLE.score(grid, level)),
      ),
    };
    const densities = { p: await read(ORACLE.logDensity(grid)), q: await read(ORACLE.logDensity(grid, level)) };
    const rows = REGIONS.map(({ name, from, to }) => {
      const inside = (logs: ArrayLike<number>) =>
        Array.from({ length: logs.length }, (_, i) => i).filter((i) => {
          const depth = Math.max(...Array.from(densities.p)) - logs[i];
          return depth >= from && depth < to;
        });
      const places = inside(densities.p);
      return [
        name,
        `${((100 * places.length) / PLACES ** 2).toFixed(0)} %`,
        percent(median(places.map((i) => errors.implicit[i]))),
        percent(median(places.map((i) => errors.denoising[i]))),
      ];
    });

    const start = rng.split("sampling");
    const byImplicit: Model = { forward: (x) => implicitScore(x) };
    const byDenoising: Model = { forward: noisyScore };
    const from = { x: start.normal([SAMPLES, 2], { backend, std: 3 }) };
    const path = sigmaPath(SIGMAS, { prediction: "score" });
    const runs = {
      "Langevin, implicit": sample(langevin({ steps: 1000, stepSize: 0.01 }), byImplicit, [SAMPLES, 2], start, {
        from,
      }),
      "annealed Langevin, denoising": sample(
        annealedLangevin(path, { stepSize: 1e-3, stepsPerLevel: 80 }),
        byDenoising,
        [SAMPLES, 2],
        start,
        { backend },
      ),
    };
    const real = await ORACLE.sample(SAMPLES, rng.split("real"), { backend }).data();
    const panels: Record<string, ArrayLike<number>> = { data: real };
    const found: string[][] = [["the data themselves", ...shares(real), "0"]];
    for (const [name, run] of Object.entries(runs)) {
      const points = await (await finalSample(run)).data();
      panels[name] = points;
      found.push([name, ...shares(points), energyDistance(points, real).toFixed(3)]);
    }
    return {
      text: [
        `Three Gaussians of weights ${WEIGHTS.join(", ")} and variance ${VARIANCE}. The score that implicit score matching learned is compared with ∇ log p on a grid, by how far log p lies below its maximum; that of denoising score matching with ∇ log q_σ at the largest σ = ${LARGEST}, where sampling starts. The error is ‖s − ∇ log‖ / ‖∇ log‖, the median over the places of a region.`,
        `Then ${SAMPLES} samples from N(0, 9 I) and N(0, σ₁² I): how many end within three standard deviations of each of the Gaussians, and the squared energy distance to the data.`,
      ],
      tables: [
        {
          title: "Error of the score",
          columns: ["log p below its maximum by", "of the grid", "implicit, of p", `denoising, of q at σ = ${LARGEST}`],
          rows,
        },
        {
          title: "Samples",
          columns: ["by", ...WEIGHTS.map((weight) => `at that of ${weight}`), "squared energy distance"],
          rows: found,
        },
      ],
      charts: [clouds("Samples", panels, { extent: REACH })],
    };
  },
};

const REGIONS = [
  { name: "0 to 4 (the data)", from: 0, to: 4 },
  { name: "4 to 20", from: 4, to: 20 },
  { name: "20 and more (between and around)", from: 20, to: Number.POSITIVE_INFINITY },
] as const;

/** What the network is told of σ, on the scale of times. */
function timeOf(sigma: number): number {
  return 200 * Math.log(sigma);
}

/** ‖found − wanted‖ / ‖wanted‖ of each point. */
function relative(found: ArrayLike<number>, wanted: ArrayLike<number>): number[] {
  return Array.from({ length: found.length / 2 }, (_, i) => {
    const [x, y] = [2 * i, 2 * i + 1];
    return Math.hypot(found[x] - wanted[x], found[y] - wanted[y]) / Math.hypot(wanted[x], wanted[y]);
  });
}

/** How many points lie within three standard deviations of each component. */
function shares(points: ArrayLike<number>): string[] {
  return MEANS.map(([x, y]) => {
    let near = 0;
    for (let i = 0; i < points.length; i += 2)
      if (Math.hypot(points[i] - x, points[i + 1] - y) < 3 * Math.sqrt(VARIANCE)) near++;
    return percent(near / (points.length / 2));
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

function percent(part: number): string {
  return `${(100 * part).toFixed(0)} %`;
}
