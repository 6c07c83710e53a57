// Dynamic loss scaling (Micikevicius et al. 2018, section 3.2): what a training step with scaled gradients does next, on the device.

import { defineOp, float32, run } from "../../op.ts";
import { formatShape, ShapeError, sizeOf } from "../../shape.ts";
import type { Tensor } from "../../tensor.ts";
import { LEAST, type LossScaleAttrs, MOST } from "./lossScaleNumbers.ts";
import { lossScaleWasm } from "./wasm.ts";
import { lossScaleWebgpu } from "./webgpu.ts";

/**
 * ‖g‖ of the gradient of S times a loss, and the state [S, updates since S changed, 1 − β₁ᵗ, 1 − β₂ᵗ] → the next state, and what adamW
 * takes as its scale: [min(1, clipNorm · S / ‖g‖) / S, 1 / (1 − β₁ᵗ), 1 / √(1 − β₂ᵗ)]. Where ‖g‖ is not finite S is halved, and a
 * factor of 0 has the update skipped, which then does not count.
 */
export const lossScale = defineOp<LossScaleAttrs>({
  name: "lossScale",
  infer([norm, state]) {
    if (sizeOf(norm.shape) !== 1 || sizeOf(state.shape) !== 4) {
      throw new ShapeError(
        `lossScale: shapes ${formatShape(norm.shape)} and ${formatShape(state.shape)}, want a scalar and [4]`,
      );
    }
    return [float32([4]), float32([3])];
  },
  cpu([next, control], [norm, state], { interval, clipNorm, beta1, beta2 }) {
    const length = norm.data[0];
    const [scale, since, first, second] = state.data;
    if (!Number.isFinite(length)) {
      next.data.set([Math.max(scale / 2, LEAST), 0, first, second]);
      control.data.set([0, 1, 1]);
      return;
    }
    const grows = since + 1 >= interval;
    const [first2, second2] = [beta1 * first + (1 - beta1), beta2 * second + (1 - beta2)];
    const factor = clipNorm > 0 ? Math.min(1, (clipNorm * scale) / (length + 1e-12)) : 1;
    next.data.set([grows ? Math.min(2 * scale, MOST) : scale, grows ? 0 : since + 1, first2, second2]);
    control.data.set([factor / scale, 1 / first2, 1 / Math.sqrt(second2)]);
  },
  webgpu: lossScaleWebgpu,
  wasm: lossScaleWasm,
  cases: [
    { norm: 2e3, state: [1024, 3, 0, 0], clipNorm: 0 },
    { norm: 2e3, state: [1024, 9, 0.1, 0.001], clipNorm: 1 },
    { norm: Number.POSITIVE_INFINITY, state: [1024, 9, 0.1, 0.001], clipNorm: 1 },
    { norm: Number.NaN, state: [LEAST, 2, 0.9, 0.1], clipNorm: 1 },
    { norm: 0, state: [MOST, 9, 0.9, 0.1], clipNorm: 1 },
  ].map(({ norm, state, clipNorm }) => ({
    inputs: [
      { shape: [], values: [norm] },
      { shape: [4], values: state },
    ],
    attrs: { interval: 10, clipNorm, beta1: 0.9, beta2: 0.999 },
  })),
  errors: [
    {
      inputs: [[], [3]],
      attrs: { interval: 10, clipNorm: 0, beta1: 0.9, beta2: 0.999 },
      error: "lossScale: shapes [] and [3]",
    },
  ],
  tolerance: { ulp: 16 },
});

/** The next state and the control of `adamWStep`; see `lossScale`. */
export function lossScaleStep(norm: Tensor, state: Tensor, attrs: LossScaleAttrs): Tensor[] {
  return run(lossScale, [norm, state], attrs);
}
