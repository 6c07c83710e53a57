// Keeps docs/reliability.md true: twenty rows, whose tests and commands are there, and whose numbers are those that run.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { REPETITIONS } from "../setup/repetitions.ts";
import { allOps } from "../tensor/ops/checkCase.ts";
import { INJECTIONS } from "../tensor/ops/derive/injections.ts";
import { LARGE } from "../tensor/ops/derive/largeCases.ts";
import { isDifferentiable } from "../tensor/ops/derived.ts";
import { expectTests } from "./namedTests.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(`${root}/docs/reliability.md`, "utf8");
const rows = text
  .split("\n")
  .filter((line) => /^\| \d/.test(line))
  .map((line) => {
    const [, number, name, promise, figure, tests, command] = line.split("|").map((cell) => cell.trim());
    return { number: Number(number), name, promise, figure, tests, command, cells: line.split("|").length };
  });
const ROWS =
  "op grid, gradients, error inputs, malformed files, fuzz, reference files, kills, disk full, resume, run to run, threads, device loss, n-th allocation, NaN, leaks, dispose, watchdog, soak, exits, packages";

test("there are twenty rows, none with an empty cell, each with a number", () => {
  expect(rows.map(({ name }) => name).join(", ")).toBe(ROWS);
  expect(rows.map(({ number }) => number)).toEqual(rows.map((_, k) => k + 1));
  for (const { cells, promise, figure } of rows) {
    expect(cells, promise).toBe(8);
    expect(promise).toMatch(/^[A-Z].*\.$/);
    expect(figure).toMatch(/\d/);
  }
});

describe.each(rows)("$name", ({ tests, command }) => {
  test("its tests are there", () => expectTests(tests));

  test("its command is there, and runs them", () => {
    const [script, ...filters] = /^`(.+)`$/.exec(command)?.[1].split(" ") ?? [];
    const { scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));
    expect(Object.keys(scripts)).toContain(script);
    if (script !== "test") return;
    const files = readdirSync(`${root}/test`, { recursive: true, encoding: "utf8" });
    const run = (filter: string) =>
      files.filter((file) => file.endsWith(".test.ts") && `test/${file}`.includes(filter));
    for (const filter of filters) expect(run(filter), filter).not.toEqual([]);
    const chosen = filters.flatMap(run).join("\n");
    for (const [, file] of tests.matchAll(/(?:^|; )([\w/]+): "/g)) {
      if (existsSync(`${root}/test/${file}.test.ts`)) expect(chosen, file).toContain(`${file}.test.ts`);
    }
  });
});

test.each(Object.entries(REPETITIONS))("the numbers of %s are those that run", (what, [usual, full]) => {
  const stated = `${usual.toLocaleString("en")} / ${full.toLocaleString("en")} ${what}`;
  expect(
    rows.filter(({ figure }) => figure.includes(stated)),
    stated,
  ).not.toEqual([]);
});

const cases = allOps.flatMap((op) => op.cases.map((given) => ({ op, given })));
test.each([
  ["cases of ops", cases.length],
  ["differentiable cases of ops", cases.filter(({ op, given }) => isDifferentiable(op, given)).length],
  ["refusals of ops", allOps.flatMap((op) => op.errors ?? []).length],
  ["places for a NaN", INJECTIONS.length],
  ["large cases", LARGE.length],
  ["ops on", allOps.filter((op) => op.cases.some(({ inputs }) => inputs.length > 0)).length],
])("there are as many %s as are stated", (what, count) => {
  const stated = [...text.matchAll(new RegExp(`over (\\d+) ${what}`, "g"))].map(([, number]) => Number(number));
  expect(stated.length).toBeGreaterThan(0);
  for (const number of stated) expect(count).toBeGreaterThan(number);
});
