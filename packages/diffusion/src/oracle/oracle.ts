// What an oracle is: a distribution whose density and score are known in closed form, of itself and after noise.

import type { Times } from "@pkg/nn";
import { type Backend, ones, type RandomStream, type Shape, Tensor } from "@pkg/tensor";
import { expectArguments } from "../arguments.ts";
import type { NoiseLevel } from "../forward/level.ts";

/** A distribution p that is known in closed form. Tensors are made where x is, and are differentiable. */
export interface Density {
  /** The shape of one sample. */
  readonly shape: Shape;
  /** E[x], its elements in row-major order. */
  readonly mean: Float64Array;
  /** E[(x − E x)(x − E x)ᵀ], d rows of d. */
  covariance(): Float64Array[];
  /** log p(x): [batch, ...shape] → [batch] */
  logDensity(x: Tensor): Tensor;
  /** ∇ log p(x): [batch, ...shape] → the same */
  score(x: Tensor): Tensor;
  /** tr ∇² log p(x), the divergence of the score: [batch, ...shape] → [batch] */
  divergence(x: Tensor): Tensor;
  /** Exact samples, [count, ...shape], made on the host: the same ones for every backend. */
  sample(count: number, rng: RandomStream, options?: { readonly backend?: Backend }): Tensor;
}

/** The part of a noise level that says what x = signal · x₀ + noise · ε is. */
export type Noising = Pick<NoiseLevel, "signal" | "noise">;

/** The same of each sample as tensors, [batch], by which an oracle can be differentiated. */
export interface NoisingTensors {
  /** The factor of the data, [batch]. */
  readonly signal: Tensor;
  /** The standard deviation of the noise, [batch]. */
  readonly noise: Tensor;
}

/** One level for all samples, or one per sample. */
export type Noisings = Noising | readonly Noising[] | NoisingTensors;

/**
 * A density that stays known under noise: each method also answers for q, of x = signal · x₀ + noise · ε with x₀ ~ p and ε ~ N(0, I),
 * at one level for all samples or one per sample. They throw Error where q has no density: at noise 0 of what has no width.
 */
export interface Oracle extends Density {
  logDensity(x: Tensor, levels?: Noisings): Tensor;
  score(x: Tensor, levels?: Noisings): Tensor;
  divergence(x: Tensor, levels?: Noisings): Tensor;
  /** E[x₀ | x], the best denoiser: x / signal at noise 0, E[x₀] at signal 0. */
  denoise(x: Tensor, levels: Noisings): Tensor;
  /** E[ε | x] = −noise · score, the best prediction of the noise: 0 at noise 0, x / noise at signal 0. */
  predictNoise(x: Tensor, levels: Noisings): Tensor;
}

/** ∇ log q_σ(x) of x₀ + σ ε: what `annealedScoreMatching` trains a network to be. */
export function oracleScore(oracle: Oracle): (x: Tensor, sigmas: Times) => Tensor {
  expectArguments("oracleScore", { oracle });
  return (x, sigmas) => {
    if (sigmas instanceof Tensor)
      return oracle.score(x, { signal: ones(sigmas.shape, { backend: x.backend }), noise: sigmas });
    return oracle.score(
      x,
      sigmas.map((noise) => ({ signal: 1, noise })),
    );
  };
}
