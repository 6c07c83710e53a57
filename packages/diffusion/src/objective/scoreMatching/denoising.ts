// Denoising score matching: the score of noised data is learned from the noise that was added, at one level or at many.

import { ones, type RandomStream, type Tensor, tensor, tidy } from "@pkg/tensor";
import { expectArguments, expectKind } from "../../arguments.ts";
import { type GivenNoise, noised } from "../../forward/forward.ts";
import { checkField, type NoisyScore } from "../../model/score.ts";
import { checkPerSample, perSample, sampleSize, sumPerSample } from "../perSample.ts";
import { checkSigma, checkSigmas } from "./noiseLevels.ts";

/** The noise of the points, and whether a control variate lowers the variance. */
export interface DenoisingOptions extends GivenNoise {
  /**
   * Takes the zero-mean terms s(x)·ε / σ and ½(‖ε‖² − d) / σ² from each sample's error: the expectation stays, the variance no longer
   * grows as 1 / σ² for σ → 0. Costs a second run of the network, on the clean data. Default false.
   */
  readonly controlVariate?: boolean;
}

/**
 * ½ E‖s(x + σ ε) + ε / σ‖² with ε ~ N(0, I) (DSM, Vincent 2011), the mean over the batch of the sum over elements. It is explicit
 * score matching on q_σ = p ∗ N(0, σ² I) plus a constant, so the best s is ∇log q_σ.
 *
 * With `controlVariate` it is E[½‖s(x̃)‖² + (s(x̃) − s(x))·ε / σ] + ½ d / σ², of the same expectation (Wang et al. 2020): for σ → 0 the
 * second term becomes εᵀ∇s ε, Hutchinson's estimate, and the objective `slicedScoreMatchingVR` but for the constant.
 * @param score also gets one σ per sample; one that was trained at a single σ need not take it
 * @param x [batch, ...], drawn from p
 * @param sigma the standard deviation of the noise, above 0
 * @param rng takes one draw, ε
 * @returns []
 * @throws Error for a σ that is not positive; ShapeError when s is not of x's shape
 */
export function denoisingScoreMatching(
  score: NoisyScore,
  x: Tensor,
  sigma: number,
  rng: RandomStream,
  options: DenoisingOptions = {},
): Tensor {
  expectArguments("denoisingScoreMatching", { score, x, rng, options });
  return tidy(() => {
    checkSigma("denoisingScoreMatching", sigma);
    const sigmas = new Array<number>(x.shape[0]).fill(sigma);
    return scaledErrors("denoisingScoreMatching", score, x, sigmas, rng, options)
      .mean()
      .mul(1 / sigma ** 2);
  });
}

/** The weights of the noise levels, and the control variate. */
export interface AnnealedOptions extends DenoisingOptions {
  /** λ(σ), the weight of a level. Default σ², which makes all levels count about alike (Song & Ermon 2019, section 4.2). */
  readonly weight?: (sigma: number) => number;
  /** Which level each sample gets, an index into the levels, instead of drawn ones: with `noise`, what repeats another program's step. */
  readonly levels?: readonly number[];
}

/**
 * ½ E λ(σ) ‖s(x + σ ε, σ) + ε / σ‖² with ε ~ N(0, I) and σ uniform over the levels, one drawn for each sample (NCSN, Song & Ermon 2019,
 * eq. 6, which is the mean over levels; a sum over levels is as many times it). Sums over elements, mean over the batch.
 * Computed as ½ λ(σ) / σ² ‖σ s + ε‖², so that with the default weight nothing is divided by σ.
 * @param score its value at each sample's σ
 * @param x [batch, ...], drawn from p
 * @param sigmas the levels, falling; geometric ones are `exponential(levelCount(…), …)`
 * @param rng takes two draws: the samples' levels, ε
 * @returns []
 * @throws Error for levels that do not fall or are not positive, or a weight that is not finite; ShapeError when s is not of x's shape
 */
export function annealedScoreMatching(
  score: NoisyScore,
  x: Tensor,
  sigmas: readonly number[],
  rng: RandomStream,
  options: AnnealedOptions = {},
): Tensor {
  expectArguments("annealedScoreMatching", { score, x, sigmas, rng, options });
  const { weight, levels: given, ...others } = options;
  return tidy(() => {
    checkSigmas("annealedScoreMatching", sigmas);
    const weights = weight && sigmas.map((sigma) => checkWeight(weight(sigma), sigma) / sigma ** 2);
    if (given) checkLevels(given, x, sigmas.length);
    const levels = given ?? [...rng.host.integers(0, sigmas.length, [x.shape[0]])];
    const chosen = levels.map((level) => sigmas[level]);
    const errors = scaledErrors("annealedScoreMatching", score, x, chosen, rng, others);
    if (!weights) return errors.mean();
    return errors
      .mul(
        tensor(
          levels.map((level) => weights[level]),
          { backend: x.backend },
        ),
      )
      .mean();
  });
}

/** σ² times each sample's ½‖s + ε / σ‖²: [batch]. */
function scaledErrors(
  name: string,
  score: NoisyScore,
  x: Tensor,
  sigmas: readonly number[],
  rng: RandomStream,
  { controlVariate = false, noise: given }: DenoisingOptions,
): Tensor {
  const { backend, shape } = x;
  const deviations = tensor(sigmas, { backend });
  const scales = { signal: ones([shape[0]], { backend }), noise: deviations };
  const { noisy, noise } = noised(name, x, scales, rng, { noise: given });
  const scaled = (at: Tensor) => checkField(name, score(at, sigmas), at).mul(perSample(x, sigmas));
  const found = scaled(noisy);
  if (!controlVariate) return sumPerSample(found.add(noise).square()).mul(0.5);
  const terms = found
    .square()
    .mul(0.5)
    .add(found.sub(scaled(x)).mul(noise));
  return sumPerSample(terms).add(sampleSize(x) / 2);
}

function checkWeight(weight: number, sigma: number): number {
  if (!(Number.isFinite(weight) && weight >= 0))
    throw new Error(`annealedScoreMatching: the weight of σ = ${sigma} is ${weight}, want a finite number ≥ 0`);
  return weight;
}

function checkLevels(levels: readonly number[], x: Tensor, count: number): void {
  expectKind("annealedScoreMatching", "sigmas", levels, "levels");
  checkPerSample("annealedScoreMatching", x, levels, "levels");
  const wrong = levels.find((level) => !(Number.isInteger(level) && level >= 0 && level < count));
  if (wrong !== undefined)
    throw new Error(`annealedScoreMatching: levels has ${wrong}, want integers in [0, ${count - 1}]`);
}
