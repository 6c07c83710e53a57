// docs/samplers.md holds what is measured.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { samplerTables } from "./samplerTable.ts";

const text = readFileSync("docs/samplers.md", "utf8");

/** A cell's words and its numbers. */
const parse = (cell: string) => ({
  words: cell.replace(/-?\d+(\.\d+)?(e[+-]?\d+)?/g, "#"),
  numbers: (cell.match(/-?\d+(\.\d+)?(e[+-]?\d+)?/g) ?? []).map(Number),
});

test("the tables of docs/samplers.md are what `pnpm orders` measures", async () => {
  for (const [name, table] of Object.entries(await samplerTables())) {
    const written = text.split(`<!-- ${name} -->\n`)[1]?.split(`\n<!-- end of ${name} -->`)[0] ?? "";
    const [found, wanted] = [written, table].map((lines) => lines.split("\n").flatMap((line) => line.split(" | ")));
    expect(found.length).toBe(wanted.length);
    for (const [k, cell] of wanted.entries()) {
      const [there, here] = [parse(found[k]), parse(cell)];
      expect(there.words).toBe(here.words);
      // A value that was drawn is certain to the error beside it; the others to the digits that are printed, and rounding.
      const allowed = cell.includes("±") ? here.numbers[1] : 0;
      for (const [i, value] of here.numbers.entries())
        expect(Math.abs(there.numbers[i] - value)).toBeLessThanOrEqual(
          Math.max(allowed, 0.06 * Math.abs(value), 0.011 * Number(Math.abs(value) > 0.2)),
        );
    }
  }
});
