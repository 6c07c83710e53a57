// Tests that documents name: `schedule: "…", "…"; nn/module: "…"`.
import { existsSync, readFileSync } from "node:fs";
import { expect } from "vitest";

const at = (path: string) => new URL(`../../${path}`, import.meta.url);

/** Fails where a file or a title is not there. */
export function expectTests(named: string): void {
  for (const part of named.split(/; (?=[\w/]+: ")/)) {
    const [, name, titles] = /^([\w/]+): (".*)$/.exec(part) ?? expect.fail(`no file and titles in ${part}`);
    // The last is a file of tests that other files run.
    const places = [`test/diffusion/${name}.test.ts`, `test/${name}.test.ts`, `test/${name}.ts`];
    const file = places.find((path) => existsSync(at(path))) ?? expect.fail(`no test file of the name ${name}`);
    const source = readFileSync(at(file), "utf8");
    for (const [, title] of titles.matchAll(/"([^"]+)"/g)) {
      const escaped = title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      expect(source, file).toMatch(new RegExp(`\\(\\s*(["\`])${escaped}\\1,`));
    }
  }
}
