// Keeps docs/compatibility.md true: each of its items names the tests that show it, and they are there.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { expectTests } from "./namedTests.ts";

const text = readFileSync(new URL("../../docs/compatibility.md", import.meta.url), "utf8");
const items = text
  .split(/^- (?=\*\*)/m)
  .slice(1)
  .map((item) => ({ name: item.slice(0, item.indexOf("\n")), tests: /^ {2}→ (.*)$/m.exec(item)?.[1] }));

describe("docs/compatibility.md", () => {
  test.each(items)("$name", ({ tests }) => expectTests(tests ?? expect.fail("no tests are named")));

  test("tells of every slip", () => {
    for (const slip of ["E1", "E2", "E3", "E4", "E5", "E6", "E7"]) expect(text).toContain(`- **${slip}.** `);
    expect(items.length).toBeGreaterThan(30);
  });
});
