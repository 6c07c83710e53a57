// Gradient ascent ends at the modes; Langevin dynamics visits the distribution.

import {
  finalSample,
  gradientAscent,
  langevin as langevinDynamics,
  type Model,
  mixtureOracle,
  sample,
} from "@pkg/diffusion";
import { clouds } from "../charts.ts";
import type { Experiment } from "../experiment.ts";
import { mean } from "../training.ts";

const DEVIATION = 0.5;
const MODES = 4;
const ORACLE = mixtureOracle({
  means: Array.from({ length: MODES }, (_, k) => [corner(k, 0), corner(k, 1)]),
  variances: DEVIATION ** 2,
});
const SAMPLES = 1500;
const STEPS = 400;
const STEP_SIZE = 0.02;

export const langevin: Experiment = {
  name: "langevin",
  title: "Langevin dynamics against gradient ascent",
  claim:
    "S1, section 2.5: gradient ascent goes to one place for each start, without diversity; noise lets Langevin dynamics explore the distribution. S2: it lets samples converge towards different modes.",
  async run({ backend, rng }) {
    const model: Model = { forward: (x) => ORACLE.score(x) };
    const options = { steps: STEPS, stepSize: STEP_SIZE };
    const samplers = { "gradient ascent": gradientAscent(options), "Langevin dynamics": langevinDynamics(options) };
    const from = { x: rng.normal([SAMPLES, 2], { backend, std: 2 }) };
    const data = await ORACLE.sample(SAMPLES, rng, { backend }).data();
    const panels: Record<string, ArrayLike<number>> = { start: await from.x.data(), data };
    const rows = [["the data themselves", ...spreads(data)]];
    for (const [name, sampler] of Object.entries(samplers)) {
      const points = await (await finalSample(sample(sampler, model, [SAMPLES, 2], rng, { from }))).data();
      panels[name] = points;
      rows.push([name, ...spreads(points)]);
    }
    const limit = DEVIATION / Math.sqrt(1 - STEP_SIZE / (2 * DEVIATION ** 2));
    return {
      text: [
        `The exact score of ${MODES} Gaussians of standard deviation ${DEVIATION}, ${STEPS} steps of τ = ${STEP_SIZE} from N(0, 4 I). Unadjusted Langevin dynamics on one such Gaussian would have the standard deviation s / √(1 − τ / 2s²) = ${limit.toFixed(3)}, a little more than the data's.`,
      ],
      tables: [
        {
          title: "Spread about the nearest mode",
          columns: ["samples", "standard deviation", "largest distance"],
          rows,
        },
      ],
      charts: [clouds("Samples", panels, { extent: 4 })],
    };
  },
};

function corner(k: number, axis: number): number {
  return 1.5 * ((axis === 0 ? k & 1 : k >> 1) === 0 ? -1 : 1);
}

/** Of each coordinate about that of the nearest mode. */
function spreads(points: ArrayLike<number>): string[] {
  const distances = Array.from({ length: points.length }, (_, i) => Math.abs(points[i]) - 1.5);
  const largest = distances.reduce((most, d) => Math.max(most, Math.abs(d)), 0);
  return [Math.sqrt(mean(distances.map((d) => d * d))).toFixed(3), largest.toFixed(3)];
}
