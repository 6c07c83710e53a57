// What a network may predict of noised data (ε, x₀, v, the score, the posterior mean), and the one map between all of them.

import { type Tensor, tensor } from "@pkg/tensor";
import { posterior } from "./posterior.ts";
import { alphaBarAt, noiseVarianceAt, type Schedule } from "./schedule.ts";

/**
 * - `noise`: ε (Ho et al. 2020)
 * - `data`: x₀, which is also Karras' denoiser D of x_t / √ᾱ_t at σ = √((1 − ᾱ_t) / ᾱ_t)
 * - `velocity`: v = √ᾱ ε − √(1 − ᾱ) x₀ (Salimans & Ho 2022), the only one that is finite at both ends
 * - `score`: ∇ log q(x_t | x₀) = −ε / √(1 − ᾱ)
 * - `mean`: μ̃(x₀, x_t), of the posterior of the step before (Ho et al. 2020, eq. 7)
 */
export type Prediction = "noise" | "data" | "velocity" | "score" | "mean";

/** A prediction as a · x₀ + b · ε. */
interface Mix {
  readonly data: number;
  readonly noise: number;
}

/**
 * A prediction of one kind from one of another, at each sample's step. With x_t = √ᾱ x₀ + √(1 − ᾱ) ε and a prediction that is
 * a x₀ + b ε, x₀ and ε follow, and with them every other kind.
 * @param prediction [batch, ...], of kind `from`
 * @param x [batch, ...], the noised data that it was made from
 * @param times one step a sample
 * @throws Error where `from` does not tell x₀ and ε apart: noise or score at ᾱ = 0
 */
export function convertPrediction(
  schedule: Schedule,
  prediction: Tensor,
  {
    from,
    to,
    x,
    times,
  }: { readonly from: Prediction; readonly to: Prediction; readonly x: Tensor; readonly times: readonly number[] },
): Tensor {
  if (from === to) return prediction;
  const coefficients = times.map((t) => {
    const [signal, sigma] = [Math.sqrt(alphaBarAt(schedule, t)), Math.sqrt(noiseVarianceAt(schedule, t))];
    const [given, wanted] = [mixOf(schedule, from, t), mixOf(schedule, to, t)];
    const determinant = signal * given.noise - sigma * given.data;
    if (determinant === 0) {
      throw new Error(
        `convertPrediction: ${from} at step ${t}, where ᾱ is 0, says nothing of the data: want velocity or data`,
      );
    }
    return {
      ofX: (wanted.data * given.noise - wanted.noise * given.data) / determinant,
      ofPrediction: (wanted.noise * signal - wanted.data * sigma) / determinant,
    };
  });
  return x
    .mul(
      perSample(
        x,
        coefficients.map(({ ofX }) => ofX),
      ),
    )
    .add(
      prediction.mul(
        perSample(
          x,
          coefficients.map(({ ofPrediction }) => ofPrediction),
        ),
      ),
    );
}

/**
 * x̂₀ from a prediction at one step of the whole batch.
 * @param clip limits it to [−1, 1], where images are
 */
export function estimateData(
  schedule: Schedule,
  predicted: Tensor,
  {
    prediction,
    x,
    t,
    clip,
  }: { readonly prediction: Prediction; readonly x: Tensor; readonly t: number; readonly clip: boolean },
): Tensor {
  const times = new Array<number>(x.shape[0]).fill(t);
  const data = convertPrediction(schedule, predicted, { from: prediction, to: "data", x, times });
  return clip ? data.clamp(-1, 1) : data;
}

/** What a model should predict for data and noise that are known. @param times one step a sample */
export function predictionTarget(
  schedule: Schedule,
  kind: Prediction,
  { data, noise, times }: { readonly data: Tensor; readonly noise: Tensor; readonly times: readonly number[] },
): Tensor {
  if (kind === "noise") return noise;
  if (kind === "data") return data;
  const mixes = times.map((t) => mixOf(schedule, kind, t));
  return data
    .mul(
      perSample(
        data,
        mixes.map((mix) => mix.data),
      ),
    )
    .add(
      noise.mul(
        perSample(
          data,
          mixes.map((mix) => mix.noise),
        ),
      ),
    );
}

function mixOf(schedule: Schedule, kind: Prediction, t: number): Mix {
  const [signal, sigma] = [Math.sqrt(alphaBarAt(schedule, t)), Math.sqrt(noiseVarianceAt(schedule, t))];
  if (kind === "noise") return { data: 0, noise: 1 };
  if (kind === "data") return { data: 1, noise: 0 };
  if (kind === "velocity") return { data: -sigma, noise: signal };
  if (kind === "score") return { data: 0, noise: -1 / sigma };
  const { fromData, fromNoisy } = posterior(schedule, t);
  return { data: fromData + fromNoisy * signal, noise: fromNoisy * sigma };
}

/** One number a sample, shaped to broadcast over [batch, ...]. */
function perSample({ rank, backend }: Tensor, values: readonly number[]): Tensor {
  return tensor(values, { backend, shape: [values.length, ...new Array<number>(rank - 1).fill(1)] });
}
