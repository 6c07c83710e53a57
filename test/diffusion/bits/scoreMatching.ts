// Objectives of score matching: their values and gradients over four draws of one stream.
import {
  annealedScoreMatching,
  denoisingScoreMatching,
  dividedBySigma,
  drawProbes,
  explicitScoreMatching,
  exponential,
  finiteDifferenceDenoising,
  finiteDifferenceSliced,
  finiteDifferenceSlicedEnergy,
  gaussianOracle,
  implicitScoreMatching,
  type NoisyScore,
  type Score,
  scoreOfEnergy,
  slicedScoreMatching,
  slicedScoreMatchingVR,
} from "@pkg/diffusion";
import type { RandomStream, Tensor } from "@pkg/tensor";
import { type BitCase, type BitCases, stream } from "./digest.ts";
import { drawn } from "./losses.ts";
import { planeNet, points } from "./models.ts";

interface Known {
  readonly score: Score;
  /** Knows σ. */
  readonly noisy: NoisyScore;
  readonly energy: (x: Tensor) => Tensor;
  readonly x: Tensor;
  readonly rng: RandomStream;
}

function objective(of: (known: Known) => Tensor): BitCase {
  return (backend) => {
    const net = planeNet(backend);
    const timeless = planeNet(backend, { timeChannels: 0 });
    const scalar = planeNet(backend, { sizes: [2, 16, 1], timeChannels: 0 });
    const rng = stream();
    const known: Known = {
      score: (x) => timeless.forward(x),
      noisy: (x, sigmas) => net.forward(x, sigmas),
      energy: (x) => scalar.forward(x).reshape([x.shape[0]]),
      x: points(backend),
      rng,
    };
    return drawn({ net, timeless, scalar }, rng, () => of(known));
  };
}

const levels = exponential(6, { min: 0.05, max: 5 });
const one = (x: Tensor, rng: RandomStream) => drawProbes(x, rng);
const three = (x: Tensor, rng: RandomStream) => drawProbes(x, rng, { count: 3, distribution: "normal" });

export const scoreMatching: BitCases = {
  explicit: objective(({ score, x }) =>
    explicitScoreMatching(score, (y) => gaussianOracle({ mean: [0.5, -1], variance: 2 }).score(y), x),
  ),
  implicit: objective(({ score, x }) => implicitScoreMatching(score, x)),
  "implicit, energy": objective(({ energy, x }) => implicitScoreMatching(scoreOfEnergy(energy), x)),
  sliced: objective(({ score, x, rng }) => slicedScoreMatching(score, x, one(x, rng))),
  "sliced, three normal probes": objective(({ score, x, rng }) => slicedScoreMatching(score, x, three(x, rng))),
  "sliced, energy": objective(({ energy, x, rng }) => slicedScoreMatching(scoreOfEnergy(energy), x, one(x, rng))),
  "sliced with reduced variance": objective(({ score, x, rng }) => slicedScoreMatchingVR(score, x, one(x, rng))),
  "sliced with reduced variance, three normal probes": objective(({ score, x, rng }) =>
    slicedScoreMatchingVR(score, x, three(x, rng)),
  ),
  "finite difference sliced": objective(({ score, x, rng }) => finiteDifferenceSliced(score, x, one(x, rng))),
  "finite difference sliced, step 0.1": objective(({ score, x, rng }) =>
    finiteDifferenceSliced(score, x, three(x, rng), { step: 0.1 }),
  ),
  "finite difference sliced of an energy": objective(({ energy, x, rng }) =>
    finiteDifferenceSlicedEnergy(energy, x, one(x, rng)),
  ),
  "finite difference denoising": objective(({ energy, x, rng }) =>
    finiteDifferenceDenoising(energy, x, 0.3, one(x, rng), rng),
  ),
  denoising: objective(({ noisy, x, rng }) => denoisingScoreMatching(noisy, x, 0.3, rng)),
  "denoising, control variate": objective(({ noisy, x, rng }) =>
    denoisingScoreMatching(noisy, x, 0.3, rng, { controlVariate: true }),
  ),
  annealed: objective(({ noisy, x, rng }) => annealedScoreMatching(noisy, x, levels, rng)),
  "annealed, weight 1": objective(({ noisy, x, rng }) =>
    annealedScoreMatching(noisy, x, levels, rng, { weight: () => 1 }),
  ),
  "annealed, control variate": objective(({ noisy, x, rng }) =>
    annealedScoreMatching(noisy, x, levels, rng, { controlVariate: true }),
  ),
  "annealed, divided by sigma": objective(({ score, x, rng }) =>
    annealedScoreMatching(dividedBySigma(score), x, levels, rng),
  ),
};
