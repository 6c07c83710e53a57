// Keeps docs/numerics.md true: its tables have what the ops declare.
import { readFileSync } from "node:fs";
import { wasm } from "@pkg/tensor";
import { expect, test } from "vitest";
import type { Case } from "../../../packages/tensor/src/op.ts";
import { type DType, sizeOf } from "../../../packages/tensor/src/shape.ts";
import { allOps, toleranceOf } from "./checkCase.ts";
import { type AnyOp, drawInputs, place, runOp, specsOf } from "./derived.ts";

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

test("the ops that WebAssembly leaves to the reference are in their table, and no others", async () => {
  const table = /\| op \| of what \| why \|\n\|[-|]+\|\n((?:\|.*\|\n)+)/.exec(text)?.[1] ?? "";
  const written = table
    .trim()
    .split("\n")
    .flatMap((row) => {
      const [, ops, what] = row.split("|");
      return ops.split(",").map((op) => `${op.trim()}: ${what.trim() === "all" ? "all" : "some"}`);
    });
  const backend = await wasm({ threads: 1 });
  const countOf = (op: AnyOp) => backend.fallbacks().get(op.name) ?? 0;
  const found = allOps.flatMap((op) => {
    const runs = [...op.cases, ...typedCases(op)].filter((given) => {
      const outputs = op.infer(specsOf(given), given.attrs);
      return !op.view && outputs.some(({ shape }) => sizeOf(shape) > 0);
    });
    for (const given of runs) runOp(op, place(drawInputs(given, 1), backend), given.attrs, backend);
    if (op.wasm === null) expect(countOf(op)).toBe(runs.length);
    return countOf(op) === 0 ? [] : [`${op.name}: ${op.wasm === null ? "all" : "some"}`];
  });
  expect(written.sort()).toEqual(found.sort());
  backend.dispose();
});

/** The first case with inputs, in all types that the op takes. */
function typedCases(op: AnyOp): Case<unknown>[] {
  const given = op.cases.find(({ inputs }) => inputs.length > 0);
  if (!given) return [];
  const inputsIn = (signature: readonly DType[]) =>
    specsOf(given).map(({ shape }, k) => ({
      shape,
      dtype: signature[Math.min(k, signature.length - 1)],
      range: [0, 2] as const,
    }));
  return (op.types ?? []).map((signature) => ({ ...given, inputs: inputsIn(signature) }));
}
