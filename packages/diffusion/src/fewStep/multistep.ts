// Samplers of consistency functions: to the data in one call, and from there back to a lower level of noise for the next.

import { type Tensor, weightedSum } from "@pkg/tensor";
import { expectArguments, expectKind } from "../arguments.ts";
import { type DiscretePath, type DiscretePathOptions, discretePath } from "../forward/discretePath.ts";
import type { NoiseLevel } from "../forward/level.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Sampler, SamplerCall } from "../sampling/sampler.ts";
import type { Schedule } from "../schedule/schedule.ts";

/**
 * x̂₀ = f(x, σ), then x′ = signal′ x̂₀ + √(noise′² − (signal′ σ_min)²) z at the next level, until the data (Song et al. 2023, algorithm 1): each step
 * is one call, and draws new noise but for the last.
 * @param path its levels are where f is asked: `sigmaPath([80, 0.8])` for two calls of a `consistencyFunction`
 * @param options sigmaMin: σ_min, the noise that x̂₀ still has; by default 0
 * @example
 * ```ts
 * import { consistencyMultistep, finalSample, type Model, sample, sigmaPath } from "@pkg/diffusion";
 * import { cpu, randomStream } from "@pkg/tensor";
 *
 * const exact: Model = { forward: (x, sigmas) => x.mul(1 / Math.hypot(1, (sigmas as number[])[0])) }; // of data that are N(0, 1)
 * const sampler = consistencyMultistep(sigmaPath([80, 2]));
 * const x = await finalSample(sample(sampler, exact, [4000, 1], randomStream(0), { backend: cpu() }));
 * console.log((await x.std().item()).toFixed(1)); // 1.0
 * ```
 * @throws Error for a σ_min below 0, or above a level's σ that is not the last
 */
export function consistencyMultistep(path: NoisePath, options: { readonly sigmaMin?: number } = {}): Sampler {
  expectArguments("consistencyMultistep", { path, options });
  const { sigmaMin = 0 } = options;
  if (!(sigmaMin >= 0 && Number.isFinite(sigmaMin)))
    throw new Error(`consistencyMultistep: sigmaMin is ${sigmaMin}, want a number from 0 on`);
  const low = path.levels.find(({ signal, noise }) => noise > 0 && noise < signal * sigmaMin);
  if (low)
    throw new Error(
      `consistencyMultistep: sigmaMin is ${sigmaMin} above the path's σ ${low.noise / low.signal}, want at most that`,
    );
  return renoising(
    path,
    ({ signal, noise }) => Math.sqrt(noise ** 2 - (signal * sigmaMin) ** 2),
    (predicted, x, level) => path.denoise(predicted, x, level),
  );
}

/** The boundary condition of a latent consistency model. */
export interface LcmOptions {
  /** What steps are multiplied by before c_skip and c_out are computed (`timestep_scaling` of diffusers). Default 10. */
  readonly timestepScaling?: number;
  /** σ_d of the boundary condition. Default 0.5. */
  readonly sigmaData?: number;
}

/**
 * LCM's sampler (Luo et al. 2023, "Latent Consistency Models", algorithm 3): x̂ = c_skip x + c_out x̂₀ with c_skip = σ_d² / (s² + σ_d²), c_out = s / √(s² + σ_d²)
 * and s = 10 t, then noise of the next level, as `consistencyMultistep` has it. At all but the first steps of a schedule x̂ is x̂₀.
 * @param path `lcmPath(schedule, { steps: 4 })`, on which the model predicts the noise unless the path says another kind
 * @throws Error for options that are not positive, and for a path without a schedule
 */
export function lcm(path: DiscretePath, options: LcmOptions = {}): Sampler {
  expectKind("lcm", "discretePath", path, "path");
  expectArguments("lcm", { options });
  const { timestepScaling = 10, sigmaData = 0.5 } = options;
  for (const [name, value] of Object.entries({ timestepScaling, sigmaData }))
    if (!(value > 0 && Number.isFinite(value))) throw new Error(`lcm: ${name} is ${value}, want a positive number`);
  return renoising(
    path,
    ({ noise }) => noise,
    (predicted, x, level) => {
      const size = Math.hypot(level.t * timestepScaling, sigmaData);
      const [skip, out] = [(sigmaData / size) ** 2, (level.t * timestepScaling) / size];
      return weightedSum([x, path.denoise(predicted, x, level)], [skip, out]);
    },
  );
}

/** Where a latent consistency model is asked. */
export interface LcmPathOptions extends Pick<DiscretePathOptions, "prediction" | "clip"> {
  /** Calls of the model. */
  readonly steps: number;
  /** The steps of the solver that it was distilled from, evenly over the schedule (`original_inference_steps` of diffusers). Default 50. */
  readonly originalSteps?: number;
}

/**
 * The steps that LCM visits: of (k + 1) ⌊T / 50⌋ − 1, k = 49 … 0, every (50 / steps)th from the noisiest on, rounded down; 999, 759, 499, 259 for four
 * steps of 1000.
 * @throws Error for steps above the original ones, and for more of those than the schedule has
 */
export function lcmPath(schedule: Schedule, options: LcmPathOptions): DiscretePath {
  expectArguments("lcmPath", { schedule, options });
  const { steps, originalSteps = 50, ...reading } = options;
  const check = (name: string, value: number, most: number) => {
    if (!(Number.isInteger(value) && value >= 1 && value <= most))
      throw new Error(`lcmPath: ${name} is ${value}, want an integer in [1, ${most}]`);
  };
  check("originalSteps", originalSteps, schedule.steps);
  check("steps", steps, originalSteps);
  const stride = Math.floor(schedule.steps / originalSteps);
  const times = Array.from(
    { length: steps },
    (_, k) => (originalSteps - Math.floor((k * originalSteps) / steps)) * stride - 1,
  );
  return discretePath(schedule, { ...reading, times });
}

function renoising(
  path: NoisePath,
  noiseAt: (level: NoiseLevel) => number,
  dataOf: (predicted: Tensor, x: Tensor, level: NoiseLevel) => Tensor,
): Sampler {
  const { levels, prior } = path;
  return {
    levels,
    prior,
    step({ x, index, predict, rng }: SamplerCall) {
      const [level, next] = [levels[index], levels[index + 1]];
      const denoised = dataOf(predict(x, level), x, level);
      if (next.noise === 0) return { x: denoised, denoised };
      const noise = rng.normal(x.shape, { backend: x.backend });
      return { x: weightedSum([denoised, noise], [next.signal, noiseAt(next)]), denoised };
    },
  };
}
