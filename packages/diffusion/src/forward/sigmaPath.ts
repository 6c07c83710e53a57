// The path of x = x₀ + σ ε, on which nothing is scaled.

import { expectArguments } from "../arguments.ts";
import type { Prediction } from "../model/parameterization.ts";
import { expectClip, expectPrediction } from "../optionWords.ts";
import type { NoiseLevel } from "./level.ts";
import { type Clip, checkFalling, levelReadings, type NoisePath } from "./path.ts";

/**
 * A path without scaling: x = x₀ + σ ε, ended at the data (Karras et al. 2022; Song & Ermon 2019), started from N(0, σ₀² I).
 * @param sigmas falling and positive, such as `karras(18)`
 * The model gets x as it is; one that was trained on x / √(1 + σ²) scales it itself.
 * @param options prediction: "data" by default, the denoiser D(x; σ); "velocity" is (ε − σ x₀) / √(1 + σ²), as k-diffusion and diffusers
 * have it; label: what the model calls σ, by default σ itself
 */
export function sigmaPath(
  sigmas: readonly number[],
  options: {
    readonly prediction?: Exclude<Prediction, "mean">;
    readonly clip?: Clip;
    readonly label?: (sigma: number) => number;
  } = {},
): NoisePath {
  expectArguments("sigmaPath", { sigmas, options });
  const { prediction = "data", clip = false, label = (sigma) => sigma } = options;
  const at = (sigma: number): NoiseLevel => ({ t: label(sigma), signal: 1, noise: sigma });
  const levels = checkFalling("sigmaPath", "sigmas", sigmas).map(at);
  expectPrediction("sigmaPath", prediction, false);
  expectClip("sigmaPath", clip);
  return {
    levels: [...levels, { t: 0, signal: 1, noise: 0 }],
    prior: sigmas[0],
    at,
    ...levelReadings(prediction, clip),
  };
}
