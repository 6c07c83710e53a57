// The variance of the forward process' posterior between two levels of any path.

import type { DiscretePath } from "../../forward/discretePath.ts";
import type { NoiseLevel } from "../../forward/level.ts";
import type { NoisePath } from "../../forward/path.ts";
import { posterior } from "../../forward/posterior.ts";

/**
 * β̃ = (noise² − r² noise′²) noise′² / noise² with r = signal / signal′: of q(x′ | x, x₀) for x = r x′ + …. Between steps of a schedule
 * it is computed from β, which keeps the digits that this difference loses.
 */
export function posteriorVariance(
  path: NoisePath & Partial<Pick<DiscretePath, "schedule">>,
  from: NoiseLevel,
  to: NoiseLevel,
): number {
  if (path.schedule && Number.isInteger(from.t) && Number.isInteger(to.t))
    return posterior(path.schedule, from.t, to.t).variance;
  const ratio = from.signal / to.signal;
  return Math.max(0, from.noise ** 2 - (ratio * to.noise) ** 2) * (to.noise / from.noise) ** 2;
}
