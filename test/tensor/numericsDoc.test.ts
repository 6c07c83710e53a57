// Keeps docs/numerics.md true: its table of tolerances is what the ops declare.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { allOps, toleranceOf } from "./checkCase.ts";

const text = readFileSync(new URL("../../docs/numerics.md", import.meta.url), "utf8");

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
