// Keeps docs/formulas.md true: every row has its function, which is exported, and its tests, which are there.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { expectTests } from "./namedTests.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const text = read("docs/formulas.md");

interface Row {
  readonly number: number;
  readonly formula: string;
  readonly functions: string;
  readonly tests: string;
}

/** The rows of each section, by its title. */
const sections = Object.fromEntries(
  text
    .split(/^## /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), rowsOf(section)]),
);

function rowsOf(section: string): Row[] {
  return section
    .split("\n")
    .filter((line) => /^\| *\d/.test(line))
    .map((line) => {
      // A bar inside of a cell is written \|.
      const cells = line.split(/(?<!\\)\|/).map((cell) => cell.replaceAll("\\|", "|").trim());
      expect(cells, line).toHaveLength(6);
      const [, number, formula, functions, tests] = cells;
      return { number: Number(number), formula, functions, tests };
    });
}

/** The names that a file exports, and those of the lists that it passes on. */
function exportedFrom(path: string): string[] {
  const source = read(path);
  const own = [...source.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, list]) => list.split(","));
  const lists = [...source.matchAll(/^export \* from "\.\/(.*)";/gm)].map(([, file]) => path.replace(/[^/]*$/, file));
  return [...own.map((item) => item.replace("type ", "").trim()), ...lists.flatMap(exportedFrom)];
}

const packages = Object.fromEntries(
  ["tensor", "nn", "diffusion"].map((name) => {
    const names = exportedFrom(`packages/${name}/src/index.ts`);
    const folder = fileURLToPath(new URL(`../../packages/${name}/src`, import.meta.url));
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
    const words = files.flatMap((file) => read(`packages/${name}/src/${file}`).match(/\w+/g) ?? []);
    return [name, { names: new Set(names), words: new Set(words) }];
  }),
);

/** What is called, and of which package: `adamW().minimize` of `@pkg/nn`; diffusion where nothing is said. */
function callsOf({ functions }: Row): { call: string; of: string }[] {
  return [...functions.matchAll(/`([A-Za-z][^`]*)`(?: of `@pkg\/(\w+)`)?/g)].map(([, call, of = "diffusion"]) => ({
    call,
    of,
  }));
}

describe.each(Object.entries(sections))("%s", (_, rows) => {
  test("has its rows in order, and no empty cell", () => {
    expect(rows.map(({ number }) => number)).toEqual(rows.map((_, k) => k + 1));
    for (const row of rows) for (const cell of Object.values(row)) expect(`${cell}`, row.formula).not.toBe("");
  });

  test.each(rows)("$number, $formula: its functions are exported, with these options", (row) => {
    const calls = callsOf(row);
    expect(calls.length, row.functions).toBeGreaterThan(0);
    for (const { call, of } of calls) {
      const [name, ...options] = call.match(/[A-Za-z]\w*/g) ?? [];
      expect([...packages[of].names], call).toContain(name);
      for (const word of options) expect(packages[of].words.has(word), `${word} of ${call}`).toBe(true);
    }
  });

  test.each(rows)("$number, $formula: its tests are there", ({ tests }) => expectTests(tests));
});

test("every numbered equation of the documents has a row", () => {
  const [first, second] = Object.values(sections).map((rows) => rows.map(({ formula }) => formula).join("\n"));
  for (const number of [1, 2, 3, 4, 5]) expect(first).toMatch(new RegExp(`^\\(${number}\\) `, "m"));
  for (const number of [2, 3, 4, 5, 6, 7, 8, 9]) expect(second).toMatch(new RegExp(`^\\(${number}\\)`, "m"));
  const [one, two, beyond] = Object.values(sections);
  expect([one, two, beyond].map((rows) => rows.length > 40)).toEqual([true, true, true]);
});
