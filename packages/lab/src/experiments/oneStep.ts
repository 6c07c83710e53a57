// One step against many: what a flow loses with few calls of its network, and what networks that were trained for few gain.

import {
  consistencyFunction,
  consistencyLoss,
  consistencyMultistep,
  euler,
  exponential,
  finalSample,
  flowMatching,
  flowPath,
  improvedMeanFlowLoss,
  karras,
  type Model,
  meanFlow,
  meanFlowLoss,
  type Sampler,
  sample,
  shortcut,
  shortcutLoss,
  sigmaPath,
} from "@pkg/diffusion";
import type { MlpConfig } from "@pkg/nn";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { clouds } from "../charts.ts";
import { eightGaussians } from "../data.ts";
import { energyDistance } from "../distance.ts";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, pointsOf, train } from "../training.ts";

const CALLS = [1, 2, 4, 64];
const SAMPLES = 2000;
const STEPS = 1500;
const SLOW = { scale: 10 };
/** The standard deviation of the data, and the noise of consistency training. */
const [SIGMA_DATA, SIGMA_MIN, SIGMA_MAX] = [1, 0.02, 20];

interface Method {
  readonly name: string;
  readonly network: Pick<MlpConfig, "timeEmbedding" | "numbers">;
  /** What is trained and asked. Default: the network. */
  readonly model?: (network: Model) => Model;
  readonly loss: (model: Model, x0: Tensor, rng: RandomStream) => Tensor;
  readonly sampler: (calls: number) => Sampler;
}

const METHODS: readonly Method[] = [
  {
    name: "flow matching",
    network: { timeEmbedding: SLOW },
    loss: (model, x0, rng) => flowMatching(model, x0, rng),
    sampler: (steps) => euler(flowPath({ steps })),
  },
  {
    name: "mean flow",
    network: { timeEmbedding: SLOW, numbers: { r: SLOW } },
    loss: (model, x0, rng) => meanFlowLoss(model, x0, rng, { share: 0.5 }),
    sampler: (steps) => meanFlow({ steps }),
  },
  {
    name: "improved mean flow",
    network: { timeEmbedding: SLOW, numbers: { r: SLOW } },
    loss: (model, x0, rng) => improvedMeanFlowLoss(model, x0, rng, { share: 0.5 }),
    sampler: (steps) => meanFlow({ steps }),
  },
  {
    name: "shortcut model",
    network: { timeEmbedding: SLOW, numbers: { d: SLOW } },
    loss: (model, x0, rng) => shortcutLoss(model, x0, rng),
    sampler: (steps) => shortcut({ steps }),
  },
  {
    name: "consistency training",
    network: { timeEmbedding: SLOW },
    model: (network) => consistencyFunction(network, { sigmaData: SIGMA_DATA, sigmaMin: SIGMA_MIN }),
    loss: (model, x0, rng) =>
      consistencyLoss(model, x0, rng, { sigmas: karras(40, { min: SIGMA_MIN, max: SIGMA_MAX }), mean: -0.5 }),
    sampler: (calls) =>
      consistencyMultistep(sigmaPath(calls === 1 ? [SIGMA_MAX] : exponential(calls, { min: 0.2, max: SIGMA_MAX })), {
        sigmaMin: SIGMA_MIN,
      }),
  },
];

export const oneStep: Experiment = {
  name: "one-step",
  title: "One step against many",
  claim:
    "Geng et al. 2025, Frans et al. 2025, Song et al. 2023: a network that is told where its step ends, or gives one point for a whole trajectory, draws in one call what a flow needs many for.",
  async run({ backend, rng }) {
    const real = eightGaussians(SAMPLES, rng.split("real"));
    const floor = energyDistance(real, eightGaussians(SAMPLES, rng.split("other")));
    const panels: Record<string, ArrayLike<number>> = { data: real };
    const rows: string[][] = [];
    for (const { name, network: config, model: made = (network: Model) => network, loss, sampler } of METHODS) {
      const network = pointNetwork({ backend, rng: rng.split("weights") }, { timeChannels: 16, ...config });
      const model = made(network);
      const draws = rng.split("training");
      await train(network, (batch) => loss(model, pointsOf(eightGaussians, batch, draws, backend), draws), {
        steps: STEPS,
        lr: 5e-3,
      });
      const distances: string[] = [];
      for (const calls of CALLS) {
        const run = sample(sampler(calls), model, [SAMPLES, 2], rng.split("sampling"));
        const points = await (await finalSample(run)).data();
        if (calls === 1) panels[name] = points;
        distances.push(energyDistance(points, real).toFixed(3));
      }
      rows.push([name, ...distances]);
    }
    return {
      text: [
        `The table has the squared energy distance of ${SAMPLES} samples to as many points of the eight Gaussians. It is unbiased: of one distribution it is about 0, of either sign. That of two draws of the data is ${floor.toFixed(4)}. All networks have the same layers, and were trained for ${STEPS} batches of 256.`,
        "One call of a flow takes every point to the mean of the data, since its velocity at t = 1 points there. The sampler of consistency models adds new noise between its calls.",
      ],
      tables: [
        { title: "Distance to the data by calls of the network", columns: ["trained by", ...CALLS.map(String)], rows },
      ],
      charts: [clouds("Samples of one call", panels, { columns: 3 })],
    };
  },
};
