// Score matching without gradients by x: derivatives along random directions as differences of values.

import { addNoise, concat, full, ones, type RandomStream, type Tensor, tidy } from "@pkg/tensor";
import { expectArguments } from "../../arguments.ts";
import { checkProbes, meanOf } from "../../likelihood/divergence.ts";
import { checkEnergy, checkField, type Score } from "../../model/score.ts";
import { sumPerSample } from "../perSample.ts";
import { checkSigma } from "./noiseLevels.ts";

/** The step of the finite differences. */
export interface FiniteDifferenceOptions {
  /**
   * h, of x's unit: the points are x ± h v. The objective is off by O(h²), and by the rounding of the values over h (over h² where
   * energies are differenced twice). Default 0.05, where both are about 10⁻³ for data of unit scale in float32.
   */
  readonly step?: number;
}

/**
 * Sliced score matching of a score by central differences (FD-SSM, Pang et al. 2020):
 * E[vᵀ (s₊ − s₋) / 2h + ½ (vᵀ (s₊ + s₋) / 2)²] with s± = s(x ± h v), one run of the network on both.
 * @param x [batch, ...], drawn from p
 * @param probes from `drawProbes`
 * @returns [], the mean over batch and probes
 * @throws Error without probes or for a step that is not positive; ShapeError when a probe or s(x) is not of x's shape
 */
export function finiteDifferenceSliced(
  score: Score,
  x: Tensor,
  probes: readonly Tensor[],
  options: FiniteDifferenceOptions = {},
): Tensor {
  expectArguments("finiteDifferenceSliced", { score, x, probes, options });
  const { step = 0.05 } = options;
  return tidy(() => {
    checkCall("finiteDifferenceSliced", x, probes, step);
    const terms = probes.map((v) => {
      const both = around(x, v, step);
      const [above, below] = checkField("finiteDifferenceSliced", score(both), both).split(x.shape[0]);
      const slope = sumPerSample(above.sub(below).mul(v)).mul(0.5 / step);
      const along = sumPerSample(above.add(below).mul(v)).mul(0.5);
      return slope.add(along.square().mul(0.5)).mean();
    });
    return meanOf(terms);
  });
}

/**
 * Sliced score matching of p ∝ exp(−E) by differences of energies (FD-SSM, Pang et al. 2020):
 * E[(2 E₀ − E₊ − E₋) / h² + ½ ((E₊ − E₋) / 2h)²] with E± = E(x ± h v), one run of the network on all three.
 * @param energy [batch, ...] → [batch]
 * @param x [batch, ...], drawn from p
 * @param probes from `drawProbes`
 * @returns [], the mean over batch and probes
 * @throws Error without probes or for a step that is not positive; ShapeError when the energies are not [batch]
 */
export function finiteDifferenceSlicedEnergy(
  energy: (x: Tensor) => Tensor,
  x: Tensor,
  probes: readonly Tensor[],
  options: FiniteDifferenceOptions = {},
): Tensor {
  expectArguments("finiteDifferenceSlicedEnergy", { energy, x, probes, options });
  const { step = 0.05 } = options;
  return tidy(() => {
    checkCall("finiteDifferenceSlicedEnergy", x, probes, step);
    const terms = probes.map((v) => {
      const all = concat([around(x, v, step), x]);
      const [above, below, here] = checkEnergy("finiteDifferenceSlicedEnergy", energy(all), all).split(x.shape[0]);
      const curvature = here
        .sub(above)
        .add(here.sub(below))
        .mul(1 / step ** 2);
      const slope = above.sub(below).mul(0.5 / step);
      return curvature.add(slope.square().mul(0.5)).mean();
    });
    return meanOf(terms);
  });
}

/**
 * Denoising score matching of p ∝ exp(−E) by differences of energies (FD-DSM, Pang et al. 2020):
 * ½ E[(vᵀ ε / σ − (E₊ − E₋) / 2h)²] with E± = E(x̃ ± h v) and x̃ = x + σ ε. With E[v vᵀ] = I it is ½ E‖s + ε / σ‖² but for O(h²).
 * @param energy [batch, ...] → [batch]
 * @param x [batch, ...], drawn from p
 * @param rng draws ε
 * @returns [], the mean over batch and probes
 * @throws Error for a σ or step that is not positive, or without probes; ShapeError when the energies are not [batch]
 */
export function finiteDifferenceDenoising(
  energy: (x: Tensor) => Tensor,
  x: Tensor,
  sigma: number,
  probes: readonly Tensor[],
  rng: RandomStream,
  options: FiniteDifferenceOptions = {},
): Tensor {
  expectArguments("finiteDifferenceDenoising", { energy, x, probes, rng, options });
  const { step = 0.05 } = options;
  return tidy(() => {
    checkCall("finiteDifferenceDenoising", x, probes, step);
    checkSigma("finiteDifferenceDenoising", sigma);
    const { backend } = x;
    const [batch] = x.shape;
    const { noisy, noise } = addNoise(x, ones([batch], { backend }), full([batch], sigma, { backend }), rng);
    const terms = probes.map((v) => {
      const both = around(noisy, v, step);
      const [above, below] = checkEnergy("finiteDifferenceDenoising", energy(both), both).split(batch);
      // σ times the residual: no 1 / σ² on the tensors.
      const residual = sumPerSample(noise.mul(v)).sub(above.sub(below).mul((0.5 * sigma) / step));
      return residual.square().mean();
    });
    return meanOf(terms).mul(0.5 / sigma ** 2);
  });
}

/** [2 · batch, ...]: x + h v, then x − h v. */
function around(x: Tensor, v: Tensor, step: number): Tensor {
  const away = v.mul(step);
  return concat([x.add(away), x.sub(away)]);
}

function checkCall(name: string, x: Tensor, probes: readonly Tensor[], step: number): void {
  checkProbes(name, probes, x);
  if (!(step > 0 && Number.isFinite(step))) throw new Error(`${name}: step is ${step}, want a positive number`);
}
