// Annealed Langevin dynamics: from much noise to little, some Langevin steps at each level (NCSN).

import { expectArguments } from "../../arguments.ts";
import { type NoisePath, readScore } from "../../forward/path.ts";
import type { Sampler } from "../sampler.ts";
import { checkStepSize, langevinStep } from "./langevin.ts";

/** The step size and the number of steps per level. */
export interface AnnealedLangevinOptions {
  /** ε, the step at the last level σ_L, of x's unit squared; see `annealedStep` for how to choose it. */
  readonly stepSize: number;
  /** n, Langevin steps per level. Default 5 (NCSNv2 on CIFAR-10; 100 in NCSN). */
  readonly stepsPerLevel?: number;
  /** Whether a last step goes to the data by x̂₀ = x + σ_L² s, without which σ_L of noise stays. Default true. */
  readonly denoise?: boolean;
}

/**
 * At each of the path's levels with noise, n times x′ = x + τ_i s(x, σ_i) + √(2 τ_i) z with τ_i = ε σ_i² / σ_L²; then x + σ_L² s
 * (Song & Ermon 2020, algorithm 1). Song & Ermon 2019 write ½ α, √α: the same with α = 2 τ, though their code takes its ε for τ.
 * NCSNv2's choice for CIFAR-10: 232 levels from 50 to 0.01, ε = 6.2e-6, n = 5.
 *
 * Started from N(0, σ₁² I); the papers start from uniform noise in [0, 1], which σ₁ makes them forget.
 * @throws Error for ε ≤ 0, and fewer than one step per level
 */
export function annealedLangevin(path: NoisePath, options: AnnealedLangevinOptions): Sampler {
  expectArguments("annealedLangevin", { path, options });
  const { stepSize, stepsPerLevel = 5, denoise = true } = options;
  checkStepSize("annealedLangevin", stepSize);
  if (!(Number.isInteger(stepsPerLevel) && stepsPerLevel >= 1))
    throw new Error(`annealedLangevin: stepsPerLevel is ${stepsPerLevel}, want a positive integer`);
  const noisy = path.levels.filter(({ noise }) => noise > 0);
  const last = noisy[noisy.length - 1];
  const walked = noisy.flatMap((level) => new Array<typeof level>(stepsPerLevel).fill(level));
  return {
    levels: denoise ? [...walked, last, { t: 0, signal: 1, noise: 0 }] : [...walked, last],
    prior: path.prior,
    step({ x, index, predict, rng }) {
      const level = walked[index] ?? last;
      const predicted = predict(x, level);
      const denoised = path.denoise(predicted, x, level);
      if (index === walked.length) return { x: denoised, denoised };
      const score = readScore(path, predicted, x, level);
      return { x: langevinStep(x, score, stepSize * (level.noise / last.noise) ** 2, rng), denoised };
    },
  };
}
