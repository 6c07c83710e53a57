// Tests that documents name: `schedule: "…", "…"; nn/module: "…"`.
import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";

const folder = new URL("../", import.meta.url);
const files = (readdirSync(folder, { recursive: true }) as string[]).map((path) => path.replaceAll("\\", "/"));

/** The file of a name: `schedule` stands in a room of test/diffusion, `nn/module` in one of test/nn; the last is one that other files run. */
function fileOf(name: string): string {
  const [, area = "diffusion", base] = /^(?:(.*)\/)?([^/]+)$/.exec(name) ?? [];
  const places = [`${area}/(?:\\w+/)*${base}\\.test\\.ts`, `${name}\\.test\\.ts`, `${area}/(?:\\w+/)*${base}\\.ts`];
  for (const place of places) {
    const [found] = files.filter((path) => new RegExp(`^${place}$`).test(path));
    if (found) return found;
  }
  return expect.fail(`no test file of the name ${name}`);
}

/** Fails where a file or a title is not there. */
export function expectTests(named: string): void {
  for (const part of named.split(/; (?=[\w/]+: ")/)) {
    const [, name, titles] = /^([\w/]+): (".*)$/.exec(part) ?? expect.fail(`no file and titles in ${part}`);
    const file = fileOf(name);
    const source = readFileSync(new URL(file, folder), "utf8");
    for (const [, title] of titles.matchAll(/"([^"]+)"/g)) {
      const escaped = title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      expect(source, file).toMatch(new RegExp(`\\(\\s*(["\`])${escaped}\\1,`));
    }
  }
}
