// The findings of one experiment from several seeds as one: figures of its tables become means with standard errors.

import type { Findings, Table } from "./experiment.ts";

/**
 * Text and charts are those of the first seed. A cell that is a number for every seed becomes "mean ± standard error of the mean", with
 * the digits and the unit that it has; another stays as the first seed gave it.
 * @param findings of each seed, whose tables have the same rows and columns
 */
export function overSeeds(findings: readonly Findings[]): Findings {
  const [first, ...others] = findings;
  if (others.length === 0) return first;
  const tables = first.tables?.map((table, t): Table => {
    const rows = table.rows.map((row, r) =>
      row.map((_, c) => overCells(findings.map(({ tables }) => String(tables?.[t]?.rows[r]?.[c])))),
    );
    return { ...table, title: `${table.title} (mean ± standard error over ${findings.length} seeds)`, rows };
  });
  const note = "Text and charts show the first of the seeds.";
  return { ...first, text: [...first.text, note], ...(tables && { tables }) };
}

/** "0.0123", "12 %"; a figure that has an error already counts without it. */
const FIGURE = /^(-?\d+(?:\.(\d+))?)(?: ± [\d.]+)?( %)?$/;

function overCells(cells: readonly string[]): string {
  const parsed = cells.map((cell) => FIGURE.exec(cell));
  // What is the same from every seed is a name or a setting.
  if (parsed.some((one) => one === null) || cells.every((cell) => cell === cells[0])) return cells[0];
  const values = parsed.map((one) => Number(one?.[1]));
  const decimals = Math.max(...parsed.map((one) => one?.[2]?.length ?? 0));
  const unit = parsed[0]?.[3] ?? "";
  const mean = values.reduce((a, b) => a + b) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return `${mean.toFixed(decimals)} ± ${Math.sqrt(variance / values.length).toFixed(decimals)}${unit}`;
}
