// DDIM: fewer steps, and none of the noise unless asked for.

import { weightedSum } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { levelAt } from "../../forward/level.ts";
import { type Clip, clipped } from "../../forward/path.ts";
import { posterior } from "../../forward/posterior.ts";
import { convertAtStep, type Prediction } from "../../model/parameterization.ts";
import { expectClip, expectPrediction } from "../../optionWords.ts";
import type { Schedule } from "../../schedule/schedule.ts";
import { type Spacing, spacedTimes } from "../../schedule/spacing.ts";
import type { Sampler } from "../sampler.ts";
import { noiseIn } from "./along.ts";
import { stepLevels } from "./liveLevels.ts";

export interface DdimOptions {
  /** How many steps of the schedule to visit. Default 50, or all if there are fewer. */
  readonly steps?: number;
  readonly spacing?: Spacing;
  /** 0 is deterministic, 1 as noisy as ancestral sampling. Default 0. */
  readonly eta?: number;
  /** What the model predicts. Default "noise". */
  readonly prediction?: Prediction;
  /** What keeps x̂₀ where data can be: `true` for images in [−1, 1]. Default false: nothing is cut. */
  readonly clip?: Clip;
  /**
   * Whether ε̂ follows from x̂₀ after it was clipped, so that both still make up x_t (guided-diffusion; `use_clipped_model_output` of
   * diffusers, off there). Default true; false keeps the model's own, which guidance leads astray. It matters with a clip alone.
   */
  readonly rederiveNoise?: boolean;
}

/**
 * x_next = √ᾱ_next x̂₀ + √(1 − ᾱ_next − σ²) ε̂ + σ z with σ = η √β̃ (Song et al. 2021, eq. 12 and 16).
 * @throws Error when eta is not in [0, 1]
 */
export function ddim(schedule: Schedule, options: DdimOptions = {}): Sampler {
  expectArguments("ddim", { schedule, options });
  const {
    steps = Math.min(50, schedule.steps),
    spacing,
    eta = 0,
    prediction = "noise",
    clip = false,
    rederiveNoise = true,
  } = options;
  if (!(eta >= 0 && eta <= 1)) throw new Error(`ddim: eta is ${eta}, want a number in [0, 1]`);
  const levels = [...spacedTimes(schedule.steps, steps, spacing), -1].map((t) => levelAt(schedule, t));
  const isNoisy = (index: number) => eta > 0 && index < levels.length - 2;
  expectPrediction("ddim", prediction);
  expectClip("ddim", clip);
  return {
    levels,
    prior: 1,
    form: isNoisy,
    step({ x, index, live, predict, rng }) {
      const [level, next] = stepLevels(levels, live);
      const predicted = predict(x, level);
      const read = (to: Prediction) => convertAtStep(schedule, level, predicted, { from: prediction, to, x });
      const denoised = clipped(read("data"), clip);
      const noise = rederiveNoise && clip !== false ? noiseIn(x, denoised, level) : read("noise");
      const weights = () => {
        const variance = eta ** 2 * posterior(schedule, level.t, next.t).variance;
        // Rounding may leave a difference of −1e-17 where it is 0.
        return [next.signal, Math.sqrt(Math.max(0, next.noise ** 2 - variance)), Math.sqrt(variance)];
      };
      if (!isNoisy(index)) return { x: weightedSum([denoised, noise], () => weights().slice(0, 2)), denoised };
      const added = rng.normal(x.shape, { backend: x.backend });
      return { x: weightedSum([denoised, noise, added], weights), denoised };
    },
  };
}
