// Flow against diffusion: the same network, data and budget, drawn in few calls; and the flow straightened by its own pairs.

import {
  cosine,
  ddim,
  discretePath,
  euler,
  finalSample,
  flowMatching,
  flowPath,
  type Model,
  noisePrediction,
  reflowPairs,
  type Sampler,
  sample,
  straightness,
} from "@pkg/diffusion";
import { type Tensor, tensor } from "@pkg/tensor";
import { clouds } from "../charts.ts";
import { eightGaussians } from "../data.ts";
import { energyDistance } from "../distance.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, pointsOf, train } from "../training.ts";

const SAMPLES = 1000;
const CALLS = [1, 2, 4, 8, 16, 50];
/** The number of calls whose samples the chart shows. */
const PICTURED = 4;
const PAIRS = 8192;

export const flow: Experiment = {
  name: "flow",
  title: "Flow against diffusion",
  claim:
    "Liu et al. 2023: a flow's trajectories are nearly straight. ReFlow, a flow trained on pairs that the first flow drew, has straighter ones, so that few steps of Euler's method do.",
  async run({ backend, rng }) {
    const schedule = cosine(1000);
    const network = () =>
      pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16, timeEmbedding: { scale: 1000 } });
    const data = (batch: number) => pointsOf(eightGaussians, batch, draws, backend);
    const draws = rng.split("training");

    const diffusion = pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16 });
    await train(diffusion, (batch) => noisePrediction(diffusion, schedule, data(batch), draws));
    const first = network();
    await train(first, (batch) => flowMatching(first, data(batch), draws));
    const pairs = await reflowPairs(flowPath({ steps: 50 }), first, [PAIRS, 2], draws);
    const second = network();
    await train(second, (batch) => {
      const chosen = tensor(Int32Array.from(draws.host.integers(0, PAIRS, [batch])), { backend });
      return flowMatching(second, pairs.x0.gather(chosen), draws, { noise: pairs.noise.gather(chosen) });
    });

    const real = eightGaussians(SAMPLES, rng.split("real"));
    const floor = energyDistance(real, eightGaussians(SAMPLES, rng.split("other")));
    const clip = (estimate: Tensor) => estimate.clamp(-3, 3); // ε̂ says little of the data where the schedule begins
    const ofFlow = (steps: number) => euler(flowPath({ steps }));
    const runs: readonly (readonly [string, Model, (steps: number) => Sampler])[] = [
      ["diffusion, DDIM", diffusion, (steps) => ddim(discretePath(schedule, { steps, spacing: "trailing", clip }))],
      ["flow, Euler", first, ofFlow],
      ["ReFlow, Euler", second, ofFlow],
    ];
    const panels: Record<string, ArrayLike<number>> = { data: real };
    const rows: string[][] = [];
    for (const [name, model, sampler] of runs) {
      const found: string[] = [];
      for (const calls of CALLS) {
        const run = sample(sampler(calls), model, [SAMPLES, 2], rng.split("sampling"), { backend });
        const points = await (await finalSample(run)).data();
        if (calls === PICTURED) panels[name] = points;
        found.push(energyDistance(points, real).toFixed(3));
      }
      rows.push([name, ...found]);
    }
    const bent = [];
    for (const model of [first, second])
      bent.push(await straightness(flowPath({ steps: 50 }), model, [SAMPLES, 2], rng.split("ways")));
    return {
      text: [
        `Three networks of the same layers, each trained for 2,000 steps of 256 points: one predicts the noise on the cosine schedule, one is a flow, and ReFlow is a flow trained on ${PAIRS} pairs of noise and data that the first flow drew. The table has the squared energy distance of ${SAMPLES} samples to as many points of the data, by calls of the network. It is unbiased: of one distribution it is about 0, of either sign. That of two draws of the data is ${floor.toFixed(3)}. DDIM clips x̂₀ to [−3, 3].`,
        `E∫‖(ε − x₀) − u‖² dt / 2 along the trajectories is 0 where they are straight. It is ${bent[0].toFixed(4)} for the flow, and ${bent[1].toFixed(4)} for ReFlow.`,
      ],
      tables: [
        {
          title: "Distance to the data",
          columns: ["model", ...CALLS.map((n) => `${n} call${n === 1 ? "" : "s"}`)],
          rows,
        },
      ],
      charts: [clouds(`Samples of ${PICTURED} calls`, panels)],
    };
  },
};
