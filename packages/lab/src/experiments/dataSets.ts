// The two algorithms of the documents on four point clouds: train, sample, compare.

import { ancestral, cosine, discretePath, finalSample, noisePrediction, sample } from "@pkg/diffusion";
import { clouds } from "../charts.ts";
import { checkerboard, eightGaussians, swissRoll, twoMoons } from "../data.ts";
import { energyDistance } from "../distance.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, pointsOf, train } from "../training.ts";

const SAMPLES = 1000;
const CLOUDS = { "8 Gaussians": eightGaussians, "two moons": twoMoons, "swiss roll": swissRoll, checkerboard };

export const dataSets: Experiment = {
  name: "data",
  title: "Training and sampling on four point clouds",
  claim:
    "S1, section 5: the training algorithm (t and ε drawn, one squared error) and the sampling algorithm, z = 0 at last.",
  async run({ backend, rng }) {
    const schedule = cosine(1000);
    const panels: Record<string, ArrayLike<number>> = {};
    const rows = [];
    for (const [name, cloud] of Object.entries(CLOUDS)) {
      const streams = rng.split(name);
      const network = pointNetwork({ backend, rng: streams.split("weights") }, { timeChannels: 16 });
      const draws = streams.split("training");
      const loss = await train(network, (batch) =>
        noisePrediction(network, schedule, pointsOf(cloud, batch, draws, backend), draws),
      );
      const sampler = ancestral(discretePath(schedule, { clip: (data) => data.clamp(-3, 3) }));
      const run = sample(sampler, network, [SAMPLES, 2], streams.split("sampling"));
      const drawn = await (await finalSample(run)).data();
      const [real, other] = ["real", "other"].map((label) => cloud(SAMPLES, streams.split(label)));
      panels[name] = real;
      panels[`${name}, drawn`] = drawn;
      rows.push([name, loss, energyDistance(drawn, real), energyDistance(other, real)]);
    }
    return {
      text: [
        `One network a cloud (L_simple, 2,000 steps of 256 points), ${SAMPLES} samples in ${schedule.steps} ancestral steps, x̂₀ kept in [−3, 3]; squared energy distance to as many points of the data, beside that of two draws of the data.`,
      ],
      tables: [
        {
          title: "Distance to the data",
          columns: ["cloud", "loss", "samples", "the data again"],
          rows: rows.map(([name, ...figures]) => [name, ...figures.map((figure) => Number(figure).toFixed(4))]),
        },
      ],
      charts: [clouds("Data and samples", panels)],
    };
  },
};
