// The pseudo-Huber distance: quadratic near 0, linear far away.

import type { Tensor } from "@pkg/tensor";
import { sumPerSample } from "../objective/perSample.ts";

/**
 * √(‖Δ‖² + c²) − c of each sample (Charbonnier et al. 1997; Song & Dhariwal 2024, eq. 7), which is ‖Δ‖² / (√(‖Δ‖² + c²) + c): in that form
 * a small ‖Δ‖ loses no digits. At c = 0 it is ‖Δ‖, with a gradient of 0 where Δ is 0.
 * @param difference [batch, ...]
 * @returns [batch]
 */
export function pseudoHuber(difference: Tensor, c: number): Tensor {
  const squares = sumPerSample(difference.square());
  if (c > 0)
    return squares.div(
      squares
        .add(c ** 2)
        .sqrt()
        .add(c),
    );
  const isZero = squares.equal(0);
  return isZero.where(0, isZero.where(1, squares).sqrt());
}
