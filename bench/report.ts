// The bench's results as tables for the terminal.
import type { Ceilings } from "./ceilings.ts";
import type { EndToEnd, StepTime } from "./endToEnd.ts";
import type { GpuCosts } from "./gpuCosts.ts";
import type { Measurement } from "./measure.ts";
import type { Spread } from "./statistics.ts";

/** One line a measurement; times in milliseconds, ratios against the first backend of the same case. */
export function table(measurements: readonly Measurement[], ceilings: ReadonlyMap<string, Ceilings>): string {
  const rows = measurements.map((m) => {
    const first = measurements.find(({ name, size }) => name === m.name && size === m.size) ?? m;
    return [
      m.name,
      m.size,
      m.backend,
      digits(m.median),
      range(m),
      digits(m.flop / m.median / 1e6),
      digits(m.bytes / m.median / 1e6),
      percent(shareOf(m, ceilings.get(m.backend))),
      `${digits(first.median / m.median)}×`,
      m.error.toExponential(1),
      m.tolerance.toExponential(0),
    ];
  });
  return align(
    [
      ["kernel", "size", "backend", "ms", "p10–p90", "GFLOP/s", "GB/s", "of ceiling", "speed-up", "error", "allowed"],
      ...rows,
    ],
    3,
  );
}

/** What is known of a backend before any case runs. */
export function describeCeilings(ceilings: Ceilings, costs?: GpuCosts): string {
  return [
    ceilings.flops && `${digits(ceilings.flops / 1e9)} GFLOP/s of multiply-adds`,
    `${digits(ceilings.bandwidth / 1e9)} GB/s of copying`,
    costs && `${digits(costs.encodeDispatch)} µs to encode a dispatch and ${digits(costs.runDispatch)} to run it`,
    costs && `${digits(costs.bindGroup)} µs a bind group`,
    costs && `${digits(costs.readbackMs)} ms to read 4 bytes back`,
    costs && `${digits(costs.upload / 1e9)} GB/s of uploading`,
  ]
    .filter(Boolean)
    .join(", ");
}

/** What is shown of networks, in the terminal and in HTML: a line each, and one more for the whole step in one `capture`. */
export function networkRows(results: readonly EndToEnd[]): { heads: readonly string[]; rows: readonly string[][] } {
  const heads = [
    ...["network", "backend", "batch", "train step ms", "p10–p90", "images/s", "JavaScript ms", "first step ms"],
    ...["ops", "dispatches", "submits", "new bind groups", "new buffers", "MiB asked for", "peak MiB", "DDIM"],
  ];
  const rows = results.flatMap((r) => {
    const { batch, steps, total } = r.sampling;
    const line = (label: string, { trainStep, encode, calls }: StepTime) => ({
      start: [
        r.network,
        label,
        `${r.batch}`,
        digits(trainStep.median),
        range(trainStep),
        digits((1000 * r.batch) / trainStep.median),
        digits(encode),
      ],
      calls: [calls?.dispatches, calls?.submits, calls?.bindGroups, calls?.buffers].map((count) => `${count ?? ""}`),
    });
    const plain = line(r.backend, r);
    const sampling = `${batch} images, ${steps} steps: ${digits(total / 1000)} s`;
    const rest = [mebibytes(r.allocatedBytes), mebibytes(r.peakBytes), sampling];
    const shown = [[...plain.start, digits(r.firstStep), `${r.ops}`, ...plain.calls, ...rest]];
    if (r.captured) {
      const captured = line(`${r.backend}, captured`, r.captured);
      shown.push([...captured.start, "", "", ...captured.calls, "", "", ""]);
    }
    return shown;
  });
  return { heads, rows };
}

/** Networks as a table for the terminal. */
export function endToEndTable(results: readonly EndToEnd[]): string {
  const { heads, rows } = networkRows(results);
  return align([heads, ...rows], 2);
}

/** The larger of its shares of the arithmetic and the memory ceiling. */
export function shareOf(
  { flop, bytes, median }: Pick<Measurement, "flop" | "bytes" | "median">,
  ceilings: Ceilings | undefined,
): number | undefined {
  if (!ceilings) return undefined;
  const memory = bytes / (median / 1000) / ceilings.bandwidth;
  return ceilings.flops ? Math.max(memory, flop / (median / 1000) / ceilings.flops) : memory;
}

/** p10 and p90, marked where they are far apart. */
export function range({ p10, p90, isWide }: Pick<Spread, "p10" | "p90" | "isWide">): string {
  return `${digits(p10)}–${digits(p90)}${isWide ? " !" : ""}`;
}

/** What the mark means, where rows bear it; nothing elsewhere. */
export function explainWide(spreads: readonly Spread[]): string {
  const wide = spreads.filter(({ isWide }) => isWide).length;
  return wide === 0
    ? ""
    : `! ${wide} of ${spreads.length} rows: p90 is more than twice p10; measure again on a quiet machine`;
}

/** The times of networks, plain and captured. */
export function stepsOf(networks: readonly EndToEnd[]): Spread[] {
  return networks.flatMap(({ trainStep, captured }) => (captured ? [trainStep, captured.trainStep] : [trainStep]));
}

/** Three significant digits. */
export function digits(value: number): string {
  if (value >= 1000) return value.toFixed(0);
  return value.toPrecision(3);
}

function percent(share: number | undefined): string {
  return share === undefined ? "" : `${(100 * share).toFixed(0)} %`;
}

function mebibytes(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(0);
}

/** Columns as wide as their widest cell; the first `left` of them begin at the left. */
export function align(rows: readonly (readonly string[])[], left: number): string {
  const widths = rows[0].map((_, k) => Math.max(...rows.map((row) => row[k].length)));
  return rows
    .map((row) => row.map((cell, k) => (k < left ? cell.padEnd(widths[k]) : cell.padStart(widths[k]))).join("  "))
    .join("\n");
}
