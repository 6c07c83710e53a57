// What few-step models should be on a Gaussian N(m, s²), in closed form, as models of tensors of times that can be differentiated.
import type { Model } from "@pkg/diffusion";
import { type Tensor, Tensor as TensorClass, tensor } from "@pkg/tensor";

/** m and s². */
export const MEAN = 0.7;
export const VARIANCE = 0.36;

/** σ_t² = (1 − t)² s² + t², the variance of z_t. */
const varianceAt = (t: Tensor) => t.neg().add(1).square().mul(VARIANCE).add(t.square());

/** [batch] or a list as a column of x's backend. */
export function column(x: Tensor, values: Tensor | readonly number[]): Tensor {
  const made = values instanceof TensorClass ? values : tensor(values, { backend: x.backend });
  return made.reshape([x.shape[0], ...x.shape.slice(1).fill(1)]);
}

/**
 * u(z, r, t) = (z_t − z_r) / (t − r) of the linear flow: −m + A (z − (1 − t) m) with A = (1 − σ_r / σ_t) / (t − r), written so that it holds
 * at r = t too: A = ((t + r) (1 + s²) − 2 s²) / (σ_t (σ_t + σ_r)).
 */
function meanVelocity(z: Tensor, t: Tensor, r: Tensor): Tensor {
  const [atT, atR] = [varianceAt(t).sqrt(), varianceAt(r).sqrt()];
  const slope = t
    .add(r)
    .mul(1 + VARIANCE)
    .sub(2 * VARIANCE)
    .div(atT.mul(atT.add(atR)));
  return z.sub(t.neg().add(1).mul(MEAN)).mul(slope).sub(MEAN);
}

/** The exact model of a mean flow, told r. */
export const exactMeanFlow: Model = {
  forward: (z, times, { numbers = {} } = {}) => meanVelocity(z, column(z, times), column(z, numbers.r)),
};

/** The exact shortcut model, told d. */
export const exactShortcut: Model = {
  forward(z, times, { numbers = {} } = {}) {
    const t = column(z, times);
    return meanVelocity(z, t, t.sub(column(z, numbers.d)));
  },
};

/** E[ε − x₀ | z_t], the instantaneous velocity. */
export const exactVelocity: Model = {
  forward: (z, times) => meanVelocity(z, column(z, times), column(z, times)),
};

/** The variance of ε − x₀ where z_t is known: 1 + s² − (t − (1 − t) s²)² / σ_t². */
export const velocityVariance = (t: number) =>
  1 + VARIANCE - (t - (1 - t) * VARIANCE) ** 2 / ((1 - t) ** 2 * VARIANCE + t ** 2);
