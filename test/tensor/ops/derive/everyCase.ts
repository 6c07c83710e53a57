// The tests of every case of ops, wherever the cases run: on a backend of this process, or of a browser's page.
import { describe, expect, test } from "vitest";
import type { Finding } from "../checkCase.ts";
import type { AnyOp } from "../derived.ts";

/** A test for each case; `check` runs one. */
export function testEveryCase(ops: readonly AnyOp[], check: (op: AnyOp, index: number) => Promise<Finding[]>): void {
  describe.each(ops.map((op) => ({ name: op.name, op })))("$name", ({ op }) => {
    test.each([...op.cases.keys()])("case %i", async (index) => {
      for (const { what, relative, message } of await check(op, index)) {
        expect(relative, `${what}: ${message}`).toBeLessThanOrEqual(1);
      }
    });
  });
}
