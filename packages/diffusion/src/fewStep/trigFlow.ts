// TrigFlow: x_t = cos t x₀ + sin t z with z ~ N(0, σ_d² I), in which diffusion, its flow and consistency functions are all simple.

import { type Conditioning, checkTimes, type Times } from "@pkg/nn";
import { type RandomStream, Tensor, tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import { checkNoise, type GivenNoise } from "../forward/forward.ts";
import type { Model } from "../model/model.ts";
import { asColumn, checkBatch, checkPredicted } from "../objective/perSample.ts";

/** How times of TrigFlow are drawn, and the data's standard deviation. */
export interface TrigFlowOptions extends Pick<Conditioning, "labels">, GivenNoise {
  /** σ_d, the standard deviation of the data. Default 0.5. */
  readonly sigmaData?: number;
  /** P_mean: the mean of ln(σ_d tan t). Default −1. */
  readonly mean?: number;
  /** P_std: its standard deviation, from 0 on. Default 1.4. */
  readonly deviation?: number;
  /** The times themselves, one per sample, in [0, π/2], instead of drawn ones. */
  readonly times?: Times;
}

/** A batch in TrigFlow. */
export interface TrigBatch {
  /** [batch]. */
  readonly t: Tensor;
  /** cos t and sin t as columns. */
  readonly cos: Tensor;
  readonly sin: Tensor;
  /** x_t, [batch, ...]. */
  readonly x: Tensor;
  /** dx_t/dt = cos t z − sin t x₀ of the pair. */
  readonly velocity: Tensor;
  readonly sigmaData: number;
}

/**
 * f(x_t, t) = cos t x_t − sin t σ_d F(x_t / σ_d, t), with f(x, 0) = x: what a network predicts of the data where `continuousConsistency`
 * trained it, or, where `trigFlowLoss` did, the best denoiser (Lu & Song 2025, section 3).
 * @param network F: forward(x, t) with t in [0, π/2], of unit scale. Its `timeEmbedding` has a scale of 1000 or less
 * @throws Error when σ_d is not positive
 */
export function trigDenoiser<Network extends Model>(
  network: Network,
  options: { readonly sigmaData?: number } = {},
): Model & { readonly network: Network } {
  expectArguments("trigDenoiser", { network, options });
  const { sigmaData = 0.5 } = options;
  checkSigmaData("trigDenoiser", sigmaData);
  return {
    network,
    forward(x, times, conditioning) {
      checkTimes("trigDenoiser", times, x, { dtypes: ["float32"] });
      const t = times instanceof Tensor ? times : tensor(times, { backend: x.backend });
      const output = network.forward(x.mul(1 / sigmaData), times, conditioning);
      checkPredicted("trigDenoiser", output, x);
      return x.mul(asColumn(x, t.cos())).sub(output.mul(asColumn(x, t.sin().mul(sigmaData))));
    },
  };
}

/**
 * E‖σ_d F(x_t / σ_d, t) − (cos t z − sin t x₀)‖², which trains a diffusion model in TrigFlow: a teacher for `continuousConsistency`, or
 * what its student begins with (Lu & Song 2025, section 3).
 * @param network F
 * @param x0 [batch, ...], of standard deviation σ_d
 * @param rng draws times, z, and the network's dropout masks
 * @returns [], the mean over batch and elements
 * @throws Error for options out of range and times that do not fit; ShapeError when the prediction or the noise is not of x0's shape
 */
export function trigFlowLoss(network: Model, x0: Tensor, rng: RandomStream, options: TrigFlowOptions = {}): Tensor {
  const { x, t, velocity, sigmaData } = trigBatch("trigFlowLoss", network, x0, rng, options);
  const output = network.forward(x.mul(1 / sigmaData), t, { labels: options.labels, rng });
  checkPredicted("trigFlowLoss", output, x0);
  return output.mul(sigmaData).sub(velocity).square().mean();
}

/** The pair's place on the arc. The given noise is ε of unit variance; z = σ_d ε. */
export function trigBatch(
  name: string,
  network: Model,
  x0: Tensor,
  rng: RandomStream,
  options: TrigFlowOptions,
): TrigBatch {
  expectArguments(name, { network, x0, rng, options });
  const { sigmaData = 0.5, noise } = options;
  checkBatch(name, x0);
  checkSigmaData(name, sigmaData);
  if (noise) checkNoise(name, noise, x0);
  const t = drawnTimes(name, x0, rng, { ...options, sigmaData });
  const z = (noise ?? rng.normal(x0.shape, { backend: x0.backend })).mul(sigmaData);
  const [cos, sin] = [asColumn(x0, t.cos()), asColumn(x0, t.sin())];
  return { t, cos, sin, x: x0.mul(cos).add(z.mul(sin)), velocity: z.mul(cos).sub(x0.mul(sin)), sigmaData };
}

function drawnTimes(
  name: string,
  x0: Tensor,
  rng: RandomStream,
  { mean = -1, deviation = 1.4, sigmaData = 0.5, times }: TrigFlowOptions,
): Tensor {
  if (!Number.isFinite(mean)) throw new Error(`${name}: mean is ${mean}, want a finite number`);
  if (!(deviation >= 0 && Number.isFinite(deviation)))
    throw new Error(`${name}: deviation is ${deviation}, want a number from 0 on`);
  const { backend } = x0;
  if (times) checkTimes(name, times, x0, { dtypes: ["float32"] });
  if (times instanceof Tensor) return times;
  const wrong = times?.findIndex((t) => !(t >= 0 && t <= Math.PI / 2)) ?? -1;
  if (times && wrong !== -1) throw new Error(`${name}: times[${wrong}] is ${times[wrong]}, want a number in [0, π/2]`);
  const atanOf = (n: number) => Math.atan(Math.exp(mean + deviation * n) / sigmaData);
  return tensor(times ?? Float32Array.from(rng.host.normal([x0.shape[0]]), atanOf), { backend });
}

function checkSigmaData(name: string, sigmaData: number): void {
  if (!(sigmaData > 0 && Number.isFinite(sigmaData)))
    throw new Error(`${name}: sigmaData is ${sigmaData}, want a positive number`);
}
