// DPM2: the midpoint rule in log σ, by itself and with ancestral noise.

import type { Tensor } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { type NoiseLevel, sigmaOf } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import type { Sampler, SamplerCall } from "../sampler.ts";
import { along, alongNoise, noiseIn } from "./along.ts";
import { type AncestralNoise, ancestralSplit, checkAncestral } from "./ancestralNoise.ts";
import { type Churn, churner } from "./churn.ts";
import { endsAtData, isEulerStep, liveLevel, stepLevels } from "./liveLevels.ts";

/**
 * The midpoint rule on the probability-flow ODE: ε̂ at √(σ σ′) for the whole step, Euler's method where σ′ is 0 or σ falls far
 * (k-diffusion's `dpm_2`, after Karras et al. 2022, algorithm 2). Without churn it is DPM-Solver-2 (Lu et al. 2022, algorithm 1). Of order 2; two
 * calls of the model a step.
 * @throws Error for churn, scale or bounds below 0
 */
export function dpm2(path: NoisePath, churn: Churn = {}): Sampler {
  expectArguments("dpm2", { path });
  const { levels, prior } = path;
  const churned = churner("dpm2", path, churn);
  const isEuler = isEulerStep(levels);
  return {
    levels,
    prior,
    form: (index) => `${churned.isChurned(index)} ${isEuler(index)}`,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const start = churned.apply(x, level, index, rng);
      return midpoint(path, start.x, [start.level, next], isEuler(index), predict);
    },
  };
}

/**
 * The midpoint rule to σ_down, then noise of σ_up = η σ′ √(1 − σ′²/σ²) (k-diffusion's `dpm_2_ancestral`).
 * @throws Error when eta is not in [0, 1], or scale is below 0
 */
export function dpm2Ancestral(path: NoisePath, noise: AncestralNoise = {}): Sampler {
  expectArguments("dpm2Ancestral", { path });
  checkAncestral("dpm2Ancestral", noise);
  const { levels, prior } = path;
  const [isLast, isEuler] = [endsAtData(levels), isEulerStep(levels)];
  return {
    levels,
    prior,
    form: (index) => `${isLast(index)} ${isEuler(index)}`,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const { down, renoise } = ancestralSplit(level, next, isLast(index), noise);
      const { x: lowered, denoised } = midpoint(path, x, [level, down], isEuler(index), predict);
      return { x: renoise(lowered, rng), denoised };
    },
  };
}

function midpoint(
  path: NoisePath,
  x: Tensor,
  [from, to]: readonly [NoiseLevel, NoiseLevel],
  isEuler: boolean,
  predict: SamplerCall["predict"],
): { readonly x: Tensor; readonly denoised: Tensor } {
  const denoised = path.denoise(predict(x, from), x, from);
  if (isEuler) return { x: along(x, denoised, from, to), denoised };
  const middle = liveLevel(() => path.at(Math.sqrt(sigmaOf(from) * sigmaOf(to))));
  const halfway = along(x, denoised, from, middle);
  const there = path.denoise(predict(halfway, middle), halfway, middle);
  return { x: alongNoise(x, [noiseIn(halfway, there, middle)], from, to), denoised };
}
