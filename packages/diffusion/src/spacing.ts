// Which steps of a schedule a sampler visits.

/** How steps are spread: from 0 in equal strides, over both ends, or from the last backwards (Lin et al. 2024, table 2). */
export type Spacing = "leading" | "linspace" | "trailing";

/**
 * The visited steps, the noisiest first.
 * @param total steps of the schedule
 * @param steps how many of them, in [1, total]
 * @throws Error when `steps` is out of range, or the spacing is none of the three
 */
export function spacedTimes(total: number, steps: number, spacing: Spacing = "leading"): number[] {
  if (!(Number.isInteger(total) && total >= 1))
    throw new Error(`spacedTimes: a schedule of ${total} steps, want a positive integer`);
  if (!(Number.isInteger(steps) && steps >= 1 && steps <= total)) {
    throw new Error(`spacedTimes: ${steps} steps of a schedule of ${total}, want an integer in [1, ${total}]`);
  }
  const at: Record<Spacing, (k: number) => number> = {
    leading: (k) => k * Math.floor(total / steps),
    linspace: (k) => (steps === 1 ? 0 : Math.round((k * (total - 1)) / (steps - 1))),
    trailing: (k) => Math.round(((k + 1) * total) / steps) - 1,
  };
  if (!Object.hasOwn(at, spacing))
    throw new Error(`spacedTimes: spacing is "${spacing}", want ${Object.keys(at).join(", ")}`);
  return Array.from({ length: steps }, (_, k) => at[spacing](steps - 1 - k));
}
