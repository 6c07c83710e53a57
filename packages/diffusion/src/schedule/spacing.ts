// Which steps of a schedule a sampler visits.

/** How steps are spread: from 0 in equal strides, over both ends, or from the last backwards (Lin et al. 2024, table 2). */
export type Spacing = "leading" | "linspace" | "trailing";

/**
 * The visited steps, the noisiest first. Halves are rounded to the even step, of the same float64 numbers as numpy's `linspace` and
 * `arange`: so are those of diffusers, and OpenAI's.
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
  const stride = total - (total - total / steps); // arange's: the difference of its first two numbers
  /** The k-th from the noisiest, of which `last` is the cleanest. */
  const last = steps - 1;
  const at: Record<Spacing, (k: number) => number> = {
    leading: (k) => (last - k) * Math.floor(total / steps),
    linspace: (k) => (k === 0 && last > 0 ? total - 1 : roundToEven((last - k) * ((total - 1) / Math.max(1, last)))),
    trailing: (k) => roundToEven(total - k * stride) - 1,
  };
  if (!Object.hasOwn(at, spacing))
    throw new Error(`spacedTimes: spacing is "${spacing}", want ${Object.keys(at).join(", ")}`);
  return Array.from({ length: steps }, (_, k) => at[spacing](k));
}

/** The nearest integer, of two the even one: as numpy and Python round. Of x from 0 on. */
function roundToEven(x: number): number {
  const nearest = Math.round(x);
  return nearest - x === 0.5 && nearest % 2 === 1 ? nearest - 1 : nearest;
}
