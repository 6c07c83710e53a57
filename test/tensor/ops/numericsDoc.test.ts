// Keeps docs/numerics.md true: its tables have what the ops declare.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allOps, toleranceOf } from "./checkCase.ts";
import { specsOf } from "./derived.ts";

const text = readFileSync(new URL("../../../docs/numerics.md", import.meta.url), "utf8");

test("every op is in the table of tolerances, with its own", () => {
  const table = /\| ops \| allowed \| why \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(text)?.[1] ?? "";
  const written = table
    .trim()
    .split("\n")
    .flatMap((row) => {
      const [, ops, allowed] = row.replaceAll("\\|", "¦").split("|");
      return ops.split(",").map((op) => `${op.trim()}: ${allowed.trim().replaceAll("¦", "|")}`);
    });
  expect(written.sort()).toEqual(allOps.map((op) => `${op.name}: ${toleranceOf(op)}`).sort());
});

test("every op that takes or gives integers or bools is in the table of their rules", () => {
  const table = /\| ops \| int32 and uint32 \| bool \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(text)?.[1] ?? "";
  const written = table
    .trim()
    .split("\n")
    .flatMap((row) => row.split("|")[1].split(","))
    .map((op) => op.trim());
  const typed = allOps.filter(
    ({ types = [], infer, cases: [given] }) =>
      types.flat().length > 0 || infer(specsOf(given), given.attrs).some(({ dtype }) => dtype !== "float32"),
  );
  const filled = allOps.filter(({ name }) => name === "fill"); // of the type that its attributes name
  expect(written.sort()).toEqual([...new Set([...typed, ...filled].map(({ name }) => name))].sort());
});
