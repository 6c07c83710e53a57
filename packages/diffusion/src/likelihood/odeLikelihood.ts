// The likelihood of data under the probability-flow ODE.

import type { Conditioning } from "@pkg/nn";
import { concat, full, type Tensor, tidy, vjp, zeros } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { sigmaOf } from "../forward/level.ts";
import type { NoisePath } from "../forward/path.ts";
import type { Model } from "../model/model.ts";
import { checkBatch, sampleSize, sumPerSample } from "../objective/perSample.ts";
import { readData } from "../readData.ts";
import { checkProbes, exactDivergence } from "./divergence.ts";
import { dormandPrince, type OdeOptions } from "./dormandPrince.ts";
import { NAMES, probabilityFlow } from "./probabilityFlow.ts";

/** The tolerance of the ODE, and the probes of its divergence. */
export interface OdeLikelihoodOptions extends OdeOptions, Pick<Conditioning, "labels"> {
  /**
   * Directions for Hutchinson's estimate of the divergence, from `drawProbes`, each kept through the whole way as in Song et al. 2021.
   * Rademacher ones are far better than normal ones here: where noise prevails ∇(y − D) is near I, of which they make no error.
   * Without probes the divergence is exact, at one pullback for each element of a sample: for small d.
   */
  readonly probes?: readonly Tensor[];
}

/** The likelihood of data under the probability-flow ODE. */
export interface OdeLikelihood {
  /** log p of each sample, in nats: [batch] */
  readonly logLikelihood: Tensor;
  /** Of the mean over probes, [batch]: 0 with the exact divergence, infinite with one probe, which tells no error. */
  readonly standardError: Tensor;
  /** What the data are encoded as, at the path's first level, [batch, ...]: near N(0, prior² I). */
  readonly latent: Tensor;
  /** Calls of the model. */
  readonly evaluations: number;
}

/**
 * log p(x₀) by the instantaneous change of variables along the probability-flow ODE (Chen et al. 2018; Song et al. 2021, eq. 39):
 * log p_σmin(y) = log N(x_T; 0, prior² I) + d log signal_T + ∫ div(y − D(y; σ)) d log σ, integrated together with y by adaptive steps.
 *
 * It is the density of x₀ + σ_min ε at x₀, σ_min that of the path's last level with noise: log p itself but for O(σ_min²) where p is
 * smooth. Song et al. take x₀ for x at t = 1e-5 there, which is another O(σ_min²). Unlike sampling, it wants a small σ_min.
 * `dequantisedBits` makes bits per dimension of it, for 8-bit data from `dequantise`.
 * @param x0 [batch, ...], in the data's scale
 * @throws Error for tolerances ≤ 0, when maxSteps don't do, and when the data or the model's output is not finite; ShapeError for other probes
 * @example
 * ```ts
 * import { gaussianOracle, karras, odeLikelihood, oraclePath, sigmaPath } from "@pkg/diffusion";
 * import { cpu, tensor } from "@pkg/tensor";
 *
 * const data = gaussianOracle({ mean: [0], variance: 0.25 });
 * const path = oraclePath(sigmaPath(karras(18)), data);
 * const x = tensor([[0], [1]], { backend: cpu({ precision: "float64" }) });
 * const { logLikelihood } = await odeLikelihood(path, path.model, x);
 * console.log((await logLikelihood.data()).map((nats) => Number(nats.toFixed(3)))); // Float64Array(2) [-0.226, -2.226]
 * console.log((await data.logDensity(x).data()).map((nats) => Number(nats.toFixed(3)))); // Float64Array(2) [-0.226, -2.226]
 * ```
 */
export async function odeLikelihood(
  path: NoisePath,
  model: Model,
  x0: Tensor,
  options: OdeLikelihoodOptions = {},
): Promise<OdeLikelihood> {
  expectArguments("odeLikelihood", { path, model, x0, options });
  const { probes, labels, ...others } = options;
  if (probes) checkProbes("odeLikelihood", probes, x0);
  checkBatch("odeLikelihood", x0);
  await readData("odeLikelihood", x0);
  const { slope, cleanest, noisiest } = probabilityFlow(path, model, { labels });
  const batch = x0.shape[0];
  const divergences = (y: Tensor, logSigma: number): readonly Tensor[] => {
    const field = (at: Tensor) => slope(at, logSigma);
    if (!probes) {
      const { value, divergence } = exactDivergence(field, y);
      return [value, divergence.reshape([batch, 1])];
    }
    const { value, pullback } = vjp(field, [y]);
    const each = probes.map((v) => sumPerSample(pullback(v)[0].mul(v)).reshape([batch, 1]));
    return [value, concat(each, 1)];
  };
  const [from, to] = [cleanest, noisiest].map((level) => Math.log(sigmaOf(level)));
  const gains = zeros([batch, probes?.length ?? 1], { backend: x0.backend });
  const run = dormandPrince((t, [y]) => tidy(() => divergences(y, t)), [x0, gains], from, to, others, NAMES);
  try {
    for await (const { t, state, evaluations } of run) {
      if (t !== to) continue;
      const [y, gained] = state;
      const result = tidy(() => {
        const latent = y.mul(noisiest.signal);
        const constant = sampleSize(x0) * Math.log((noisiest.signal / path.prior) * Math.sqrt(1 / (2 * Math.PI)));
        const logPrior = sumPerSample(latent.square()).affine(-0.5 / path.prior ** 2, constant);
        const logLikelihood = logPrior.add(gained.mean(1));
        return { logLikelihood, standardError: errorOfMean(gained, !probes), latent, evaluations };
      });
      for (const used of [y, gained]) used.dispose();
      return result;
    }
    throw new Error("odeLikelihood: the ODE ended before the path's first level");
  } finally {
    gains.dispose();
  }
}

/** The standard error of the mean over axis 1. */
function errorOfMean(values: Tensor, isExact: boolean): Tensor {
  const [batch, count] = values.shape;
  if (isExact) return zeros([batch], { backend: values.backend });
  if (count === 1) return full([batch], Number.POSITIVE_INFINITY, { backend: values.backend });
  return values
    .variance(1)
    .mul(1 / count)
    .sqrt();
}
