// The weight of a sample by the size of its own error, which keeps large errors from ruling a batch.

import type { Tensor } from "@pkg/tensor";
import { sumPerSample } from "../objective/perSample.ts";

/** What is added to ‖Δ‖² before the power. */
const OFFSET = 1e-3;

/**
 * The mean over batch and elements of Δ² for p = 0; else the mean over the batch of sg(w) ‖Δ‖² with w = 1 / (‖Δ‖² + 10⁻³)^p (Geng et al.
 * 2025, eq. 22), whose gradient is that of ‖Δ‖^(2 (1 − p)) up to a factor.
 * @param error [batch, ...]
 */
export function adaptivelyWeighted(error: Tensor, power: number): Tensor {
  if (power === 0) return error.square().mean();
  const squares = sumPerSample(error.square());
  return squares.mul(squares.detach().add(OFFSET).pow(-power)).mean();
}

/** @throws Error unless the power is a number from 0 on */
export function checkPower(name: string, power: number): void {
  if (!(power >= 0 && Number.isFinite(power))) throw new Error(`${name}: power is ${power}, want a number from 0 on`);
}
