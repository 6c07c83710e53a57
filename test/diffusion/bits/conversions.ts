// Predictions turned into one another, oracles, and networks by themselves: what is asked for by the time of each sample.
import {
  convertAtLevel,
  convertPrediction,
  eightGaussians,
  learnedRange,
  levelAt,
  linear,
  oracleModel,
  oracleScore,
  type Prediction,
  posteriorMeanFromNoise,
  preconditioned,
  predictionTarget,
  ring,
} from "@pkg/diffusion";
import { parameters, sinusoidalEmbedding } from "@pkg/nn";
import { type Backend, type Tensor, valueAndGrad } from "@pkg/tensor";
import { type BitCase, type BitCases, joined, stream } from "./digest.ts";
import { IMAGE_LABELS, imageNet, images, LABELS, labelledNet, planeNet, points } from "./models.ts";

const schedule = linear(1000);
const KINDS: readonly Prediction[] = ["noise", "data", "velocity", "score", "mean"];
const TIMES = [1, 2, 500, 998, 999];

function pair(backend: Backend): [Tensor, Tensor] {
  return [points(backend), stream().normal([5, 2], { backend })];
}

function conversions(): BitCases {
  const cases: Record<string, BitCase> = {};
  for (const from of KINDS) {
    cases[`target ${from}`] = async (backend) => {
      const [data, noise] = pair(backend);
      return { target: predictionTarget(schedule, from, { data, noise, times: TIMES }) };
    };
    for (const to of KINDS) {
      if (from === to) continue;
      cases[`${from} to ${to}`] = async (backend) => {
        const [x, prediction] = pair(backend);
        const levels = from === "mean" || to === "mean" ? undefined : { from, to, x };
        return {
          ofSteps: convertPrediction(schedule, prediction, { from, to, x, times: TIMES }),
          ...(levels && { atLevel: convertAtLevel(levelAt(schedule, 500), prediction, levels) }),
        };
      };
    }
  }
  return cases;
}

/** The output of a network, and the gradient of the sum of its squares. */
async function network(module: object, forward: () => Tensor): ReturnType<BitCase> {
  const { grads } = valueAndGrad(() => forward().square().sum(), parameters(module));
  return { output: forward(), gradients: await joined(grads) };
}

const level = { signal: 0.6, noise: 0.8 };

export const byTime: BitCases = {
  ...conversions(),
  "posterior mean from noise": async (backend) => {
    const [x, noise] = pair(backend);
    return {
      mean: posteriorMeanFromNoise(schedule, x, noise, 500),
      far: posteriorMeanFromNoise(schedule, x, noise, 500, 100),
    };
  },
  "learned range": async (backend) => {
    const [x, raw] = pair(backend);
    const step = { schedule, x, raw, times: TIMES };
    return {
      near: learnedRange().logVariance(step),
      far: learnedRange({ first: "clamp" }).logVariance({ ...step, to: [-1, 0, 100, 500, 998] }),
    };
  },
  "oracle of noise": async (backend) => ({
    noise: oracleModel(eightGaussians(), schedule).forward(points(backend), TIMES),
  }),
  "oracle of velocity": async (backend) => ({
    velocity: oracleModel(ring(), schedule, "velocity").forward(points(backend), TIMES),
  }),
  "oracle's score by sigma": async (backend) => ({
    score: oracleScore(eightGaussians())(points(backend), [0.01, 0.1, 1, 10, 50]),
  }),
  "oracle at a level": async (backend) => {
    const [oracle, x] = [eightGaussians(), points(backend)];
    return {
      logDensity: oracle.logDensity(x, level),
      score: oracle.score(x, level),
      divergence: oracle.divergence(x, level),
      denoised: oracle.denoise(x, level),
    };
  },
  "embedding of times": async (backend) => ({
    steps: sinusoidalEmbedding([0, 1, 10, 500, 999], 8, { backend }),
    fractions: sinusoidalEmbedding([0.001, 0.1, 1 / 3, 499.5, 998.7], 8, { backend }),
    negative: sinusoidalEmbedding([-450.25, -1.5], 16, { backend, maxPeriod: 1000 }),
  }),
  mlp: (backend) => {
    const net = planeNet(backend);
    return network(net, () => net.forward(points(backend), TIMES));
  },
  "mlp, labels": (backend) => {
    const net = labelledNet(backend);
    return network(net, () => net.forward(points(backend), [0.5, 1, 2.25, 998.7, 999], { labels: LABELS }));
  },
  "mlp, preconditioned": (backend) => {
    const net = preconditioned(planeNet(backend));
    return network(net, () => net.forward(points(backend), [0.002, 0.1, 0.5, 3, 80]));
  },
  unet: (backend) => {
    const net = imageNet(backend);
    return network(net, () => net.forward(images(backend), [0, 333.3, 999], { labels: IMAGE_LABELS }));
  },
  "unet, scaleShift, attention": (backend) => {
    const net = imageNet(backend, { scaleShift: true, attentionLevels: [1], heads: 2 });
    return network(net, () => net.forward(images(backend), [5, 50, 500], { labels: IMAGE_LABELS }));
  },
};
