// What a declaration must have: the errors of defineOp for rules that are missing.
import { defineOp, elementwise } from "@pkg/tensor";
import { expect, test } from "vitest";
import { add, reshape } from "../../../packages/tensor/src/ops/index.ts";

/** What a program without types may hand over. */
const declared = (op: object) => () => defineOp(op as Parameters<typeof defineOp>[0]);

test("an op has a view, or rules for all backends; null says that WebAssembly has no kernel", () => {
  expect(declared(add)()).toBe(add);
  expect(declared(reshape)()).toBe(reshape);
  expect(declared({ ...add, wasm: null })().wasm).toBeNull();
  for (const rule of ["cpu", "webgpu"]) {
    expect(declared({ ...add, [rule]: undefined })).toThrow("add: has neither a view nor both cpu and webgpu rules");
  }
  expect(declared({ ...add, wasm: undefined })).toThrow(
    "add: wasm is undefined, want a rule, or null for the reference",
  );
});

test("an elementwise op says it too", () => {
  const rules = { name: "half", wgsl: "0.5 * a", cpu: (a: number) => 0.5 * a, tolerance: { ulp: 1 } };
  expect(elementwise({ ...rules, wasm: null }).wasm).toBeNull();
  const untyped = rules as unknown as Parameters<typeof elementwise>[0]; // as a program without types
  expect(() => elementwise(untyped)).toThrow("half: wasm is undefined, want a rule, or null for the reference");
});

test("an op has cases, from which its tests follow", () => {
  expect(declared({ ...add, cases: [] })).toThrow("add: has no cases, want at least one");
});
