// Which times of two runs differ by more than their noise.
import { align, digits } from "./report.ts";
import type { BenchResult } from "./result.ts";
import type { Spread } from "./statistics.ts";

export interface Change {
  /** Case, size and backend. */
  readonly row: string;
  /** "missing": only the first run has it; "new": only the second. */
  readonly verdict: "slower" | "faster" | "same" | "missing" | "new";
  /** Medians in milliseconds. */
  readonly before?: number;
  readonly after?: number;
}

const LEAST = 0.05;
const DEVIATIONS = 3;

/** Every row of either run. A change counts when it is larger than 5 % and than three median deviations of the noisier run. */
export function changes(before: BenchResult, after: BenchResult): Change[] {
  const [a, b] = [rowsOf(before), rowsOf(after)];
  return [...new Set([...a.keys(), ...b.keys()])].map((row): Change => {
    const [x, y] = [a.get(row), b.get(row)];
    if (!x) return { row, verdict: "new", after: y?.median };
    if (!y) return { row, verdict: "missing", before: x.median };
    const allowed = Math.max(LEAST * x.median, DEVIATIONS * Math.max(x.mad, y.mad));
    const difference = y.median - x.median;
    const verdict = Math.abs(difference) <= allowed ? "same" : difference > 0 ? "slower" : "faster";
    return { row, verdict, before: x.median, after: y.median };
  });
}

/** All but what stayed the same, the slowed first, and a count. */
export function comparisonTable(found: readonly Change[]): string {
  const of = (verdict: Change["verdict"]) => found.filter((change) => change.verdict === verdict);
  const shown = [...of("slower"), ...of("faster"), ...of("missing"), ...of("new")];
  const counts = `${of("slower").length} slower, ${of("faster").length} faster, ${of("same").length} the same, ${of("missing").length} missing, ${of("new").length} new`;
  if (shown.length === 0) return counts;
  const cell = (value: number | undefined) => (value === undefined ? "" : digits(value));
  const rows = shown.map(({ row, verdict, before, after }) => [
    row,
    verdict,
    cell(before),
    cell(after),
    before && after ? `${digits(after / before)}×` : "",
  ]);
  return `${align([["", "", "before ms", "after ms", "after / before"], ...rows], 2)}\n${counts}`;
}

function rowsOf({ measurements, networks }: BenchResult): Map<string, Spread> {
  return new Map([
    ...measurements.map((m) => [`${m.name} ${m.size} on ${m.backend}`, m] as const),
    ...networks.flatMap(({ network, batch, backend, trainStep, captured }) => {
      const name = `${network} train step, batch ${batch} on ${backend}`;
      return [[name, trainStep] as const, ...(captured ? [[`${name}, captured`, captured.trainStep] as const] : [])];
    }),
  ]);
}
