// Figures of several seeds as means with standard errors.
import { expect, test } from "vitest";
import type { Findings } from "../../packages/lab/src/experiment.ts";
import { overSeeds } from "../../packages/lab/src/overSeeds.ts";

const findings = (...row: (string | number)[]): Findings => ({
  text: ["found"],
  tables: [{ title: "T", columns: row.map(String), rows: [row] }],
});

test("a figure becomes its mean with the standard error of the mean, in its own digits and unit", () => {
  // 1, 2 and 6: mean 3, variance 7, standard error √(7 / 3) = 1.5275.
  const { tables } = overSeeds([
    findings("ε", "1.000", "10 %", 1, "1.00 ± 0.50"),
    findings("ε", "2.000", "20 %", 2, "2.00 ± 0.50"),
    findings("ε", "6.000", "60 %", 6, "6.00 ± 0.50"),
  ]);
  expect(tables?.[0].rows).toEqual([["ε", "3.000 ± 1.528", "30 ± 15 %", "3 ± 2", "3.00 ± 1.53"]]);
  expect(tables?.[0].title).toBe("T (mean ± standard error over 3 seeds)");
});

test("names and settings stay, and one seed has no errors", () => {
  const { tables, text } = overSeeds([findings("x", 100, "2 of 3"), findings("x", 100, "1 of 3")]);
  expect(tables?.[0].rows).toEqual([["x", "100", "2 of 3"]]);
  expect(text).toEqual(["found", "Text and charts show the first of the seeds."]);
  expect(overSeeds([findings("1.0")])).toEqual(findings("1.0"));
});
