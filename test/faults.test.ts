// `pnpm faults` takes minutes and is run by hand: this keeps its faults from losing their places meanwhile.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { faults } from "../tools/plantedFaults.mjs";

const root = new URL("../", import.meta.url);

describe.each(faults)("$name", ({ file, from, to, tests }) => {
  test("stands in its file, and changes it", () => {
    expect(readFileSync(new URL(file, root), "utf8")).toContain(from);
    expect(to).not.toBe(from);
  });

  test("names tests that there are", () => {
    for (const name of tests) {
      const isThere = ["", ".test.ts"].some((end) => existsSync(new URL(`test/${name}${end}`, root)));
      expect(isThere, name).toBe(true);
    }
  });
});
