// The bench's results as a table for the terminal and as JSON.
import type { Measurement } from "./measure.ts";

/** What a machine can do at most, measured in the same run: cases are shown as shares of it. */
export interface Ceilings {
  /** FLOP/s of chained multiply-adds, where it was measured. */
  readonly flops?: number;
  /** Bytes/s of a large copy, read plus written. */
  readonly bandwidth: number;
}

/** One line a measurement; times in milliseconds, ratios against the first backend of the same case. */
export function table(measurements: readonly Measurement[], ceilings: ReadonlyMap<string, Ceilings>): string {
  const rows = measurements.map((m) => {
    const first = measurements.find(({ name, size }) => name === m.name && size === m.size) ?? m;
    return [
      m.name,
      m.size,
      m.backend,
      number(m.median),
      `${number(m.p10)}–${number(m.p90)}`,
      number(m.flop / m.median / 1e6),
      number(m.bytes / m.median / 1e6),
      percent(shareOf(m, ceilings.get(m.backend))),
      `${number(first.median / m.median)}×`,
      m.error.toExponential(1),
      m.tolerance.toExponential(0),
    ];
  });
  return align([
    ["kernel", "size", "backend", "ms", "p10–p90", "GFLOP/s", "GB/s", "of ceiling", `speed-up`, "error", "allowed"],
    ...rows,
  ]);
}

/** The larger of its shares of the arithmetic and the memory ceiling. */
function shareOf({ flop, bytes, median }: Measurement, ceilings: Ceilings | undefined): number | undefined {
  if (!ceilings) return undefined;
  const memory = bytes / (median / 1000) / ceilings.bandwidth;
  return ceilings.flops ? Math.max(memory, flop / (median / 1000) / ceilings.flops) : memory;
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${(100 * share).toFixed(0)} %`;
}

/** Three significant digits. */
function number(value: number): string {
  if (value >= 1000) return value.toFixed(0);
  return value.toPrecision(3);
}

function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, k) => Math.max(...rows.map((row) => row[k].length)));
  return rows
    .map((row) => row.map((cell, k) => (k < 3 ? cell.padEnd(widths[k]) : cell.padStart(widths[k]))).join("  "))
    .join("\n");
}
