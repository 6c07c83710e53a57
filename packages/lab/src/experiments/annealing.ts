// Langevin dynamics does not find how much weight each mode has; annealed from much noise it does.

import {
  annealedLangevin,
  exponential,
  langevin,
  type Model,
  mixtureOracle,
  oracleModel,
  type Sampler,
  sample,
  sigmaPath,
} from "@pkg/diffusion";
import { lines } from "../charts.ts";
import type { Experiment } from "../experiment.ts";

const WEIGHT = 0.8;
const ORACLE = mixtureOracle({
  weights: [WEIGHT, 1 - WEIGHT],
  means: [
    [-4, 0],
    [4, 0],
  ],
  variances: 0.25,
});
const [LARGEST, SMALLEST] = [8, 0.1];
const SAMPLES = 4000;
const STEPS = 1200;

export const annealing: Experiment = {
  name: "annealing",
  title: "Annealing finds the weights of modes",
  claim:
    "S2, multiple noise perturbations: Langevin dynamics is run for each noise level, from the largest down, which is called annealed Langevin dynamics (Song & Ermon 2019, section 3.2.2 on the weights of modes).",
  async run({ backend, rng }) {
    const sigmas = exponential(20, { min: SMALLEST, max: LARGEST });
    const path = sigmaPath(sigmas, { prediction: "score" });
    const clean: Model = { forward: (x) => ORACLE.score(x) };
    const noisy = oracleModel(ORACLE, (sigma) => ({ signal: 1, noise: sigma }), "score");
    const from = { x: rng.uniform([SAMPLES, 2], { backend, low: -8, high: 8 }) };
    const plain = langevin({ steps: STEPS, stepSize: 0.02 });
    const annealed = annealedLangevin(path, { stepSize: 2e-3, stepsPerLevel: STEPS / sigmas.length });
    const follow = async (sampler: Sampler, model: Model) => {
      const shares: [number, number][] = [];
      for await (const { x, step, steps } of sample(sampler, model, [SAMPLES, 2], rng, { from })) {
        if (step % 50 !== 0 && step !== steps) continue;
        const left = await x.slice(null, 0).less(0).cast("float32").mean().item();
        shares.push([step, left]);
      }
      return shares;
    };
    const series = { Langevin: await follow(plain, clean), "annealed Langevin": await follow(annealed, noisy) };
    const last = (shares: readonly (readonly [number, number])[]) => shares[shares.length - 1][1].toFixed(3);
    const error = Math.sqrt((WEIGHT * (1 - WEIGHT)) / SAMPLES);
    return {
      text: [
        `Two Gaussians of weight ${WEIGHT} and ${(1 - WEIGHT).toFixed(1)}, eight apart, with their exact scores; ${SAMPLES} samples from uniform noise. After ${STEPS} steps Langevin dynamics has ${last(series.Langevin)} of them at the heavier one, as many as began on its side; annealed from σ = ${LARGEST} to ${SMALLEST} it has ${last(series["annealed Langevin"])}. The standard error of a share of ${WEIGHT} is ${error.toFixed(3)}.`,
      ],
      charts: [lines("Share of samples at the heavier mode", { x: "step", y: "share" }, series)],
    };
  },
};
