// The variational bound, term by term, of networks trained on it and on L_simple.

import {
  fixedSmall,
  gaussianDecoder,
  linear,
  mixtureOracle,
  type Nll,
  nll,
  noisePrediction,
  oracleModel,
  predictionLoss,
  variationalWeight,
} from "@pkg/diffusion";
import { lines } from "../charts.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, train } from "../training.ts";

const DATA = 512;
const STEPS = 200;

export const bound: Experiment = {
  name: "bound",
  title: "The terms of the bound",
  claim:
    "S2: −log p(x₀) is at most reconstruction + prior matching + denoising matching terms. S1, section 1 (Ho et al. 2020): the terms of small t are those that L_simple weighs down.",
  async run({ backend, rng }) {
    const oracle = mixtureOracle({
      means: [
        [-1, 0],
        [1, 0.5],
      ],
      variances: 0.05,
    });
    // Five times the steepness of 1,000 steps.
    const schedule = linear(STEPS, { start: 5e-4, end: 0.1 });
    const draws = rng.split("training");
    const data = (n: number) => oracle.sample(n, draws, { backend });
    const networks = {
      L_simple: pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16 }),
      L: pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16 }),
    };
    await train(networks.L_simple, (batch) => noisePrediction(networks.L_simple, schedule, data(batch), draws));
    const weight = variationalWeight();
    await train(networks.L, (batch) => predictionLoss(networks.L, schedule, data(batch), draws, { weight }));

    const x0 = data(DATA);
    const entropy = -(await oracle.logDensity(x0).mean().item()) / 2 / Math.LN2;
    const models = { ...networks, "the exact ε": oracleModel(oracle, schedule) };
    const results: Record<string, Nll> = {};
    for (const [name, model] of Object.entries(models)) {
      const options = { variance: fixedSmall(), decoder: gaussianDecoder() };
      results[name] = await nll(model, schedule, x0, rng.split("nll"), options);
    }
    const figure = ({ mean, standardError }: { mean: number; standardError: number }) =>
      `${mean.toFixed(3)} ± ${standardError.toFixed(3)}`;
    return {
      text: [
        `Two Gaussians in the plane, ${STEPS} steps, ${DATA} points, in bits per dimension (densities: they may be below 0). The exact −log₂ p is ${entropy.toFixed(3)}: what is above it is the bound's gap and the network's error.`,
      ],
      tables: [
        {
          title: "The bound",
          columns: ["trained on", "total", "L_T", "t = 2 … 20", "t = 21 … T", "L_0"],
          rows: Object.entries(results).map(([name, { total, prior, terms }]) => {
            const sum = (from: number, to: number) => terms.slice(from, to).reduce((all, { mean }) => all + mean, 0);
            return [
              name,
              figure(total),
              figure(prior),
              sum(1, 20).toFixed(3),
              sum(20, STEPS).toFixed(3),
              figure(terms[0]),
            ];
          }),
        },
      ],
      charts: [
        lines(
          "Terms by step",
          { x: "t", y: "bits per dimension", logX: true, logY: true },
          Object.fromEntries(
            Object.entries(results).map(([name, { terms }]) => [
              name,
              terms.flatMap(({ mean }, t) => (t > 0 && mean > 0 ? [[t + 1, mean] as const] : [])),
            ]),
          ),
        ),
      ],
    };
  },
};
