// A network trained to predict the noise and one trained to be the score differ by −1 / √(1 − ᾱ).

import {
  cosine,
  mixtureOracle,
  noisePrediction,
  noiseVarianceAt,
  oracleModel,
  predictionLoss,
  qSample,
} from "@pkg/diffusion";
import type { Tensor } from "@pkg/tensor";
import type { Experiment } from "../experiment.ts";
import { pointNetwork, train } from "../training.ts";

const TIMES = [100, 300, 500, 700, 900];
const POINTS = 4000;

export const noiseIsScore: Experiment = {
  name: "noise",
  title: "The noise network is the score network",
  claim: "S1, section 3.1 (boxed), and S2, equation 6: s(x_t, t) = −ε(x_t, t) / √(1 − ᾱ_t).",
  async run({ backend, rng }) {
    const oracle = mixtureOracle({
      weights: [0.5, 0.3, 0.2],
      means: [
        [-1, -1],
        [1.2, 0],
        [-0.3, 1.3],
      ],
      variances: 0.1,
    });
    const schedule = cosine(1000);
    const exact = oracleModel(oracle, schedule, "score");
    const draws = rng.split("training");
    const data = (n: number) => oracle.sample(n, draws, { backend });
    const noise = pointNetwork({ backend, rng: rng.split("noise") }, { timeChannels: 16 });
    await train(noise, (batch) => noisePrediction(noise, schedule, data(batch), draws));
    const score = pointNetwork({ backend, rng: rng.split("score") }, { timeChannels: 16 });
    // Denoising score matching at the levels of the schedule, each weighted by its variance (λ = σ²).
    const weight = noiseVarianceAt;
    await train(score, (batch) => predictionLoss(score, schedule, data(batch), draws, { prediction: "score", weight }));

    const rows = [];
    for (const t of TIMES) {
      const times = new Array<number>(POINTS).fill(t);
      const { noisy } = qSample(schedule, data(POINTS), times, draws);
      const factor = -1 / Math.sqrt(noiseVarianceAt(schedule, t));
      const fromNoise = noise.forward(noisy, times).mul(factor);
      const [own, truth] = [score, exact].map((model) => model.forward(noisy, times));
      const slope = (await own.mul(fromNoise).sum().item()) / (await fromNoise.square().sum().item());
      rows.push([
        t,
        factor.toFixed(3),
        slope.toFixed(3),
        ...(await Promise.all([distance(own, fromNoise), distance(fromNoise, truth), distance(own, truth)])),
      ]);
    }
    return {
      text: [
        `Two networks of the same size, one trained by L_simple to predict ε, one by denoising score matching to be the score, on three Gaussians in the plane. s̃ is the noise network times −1 / √(1 − ᾱ). The slope is that of the regression of the score network on s̃, 1 if they agree; distances are ‖a − b‖ / ‖b‖ over ${POINTS} noised points, the last two columns against the exact score.`,
      ],
      tables: [
        {
          title: "By step of the schedule",
          columns: ["t", "−1 / √(1 − ᾱ)", "slope", "score network to s̃", "s̃ to exact", "score network to exact"],
          rows,
        },
      ],
    };
  },
};

async function distance(a: Tensor, b: Tensor): Promise<string> {
  const squared = (await a.sub(b).square().sum().item()) / (await b.square().sum().item());
  return Math.sqrt(squared).toFixed(3);
}
