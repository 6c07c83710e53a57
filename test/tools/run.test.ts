// What runs every command and a person's own program: what it is told wrongly is one line.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const HELP = ["packages/cli/src/main.ts", "export", "--help"];

const run = (words: readonly string[], adapter?: string) =>
  spawnSync(process.execPath, ["tools/run.mjs", ...words], {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, ...(adapter !== undefined && { TWEEDIE_ADAPTER: adapter }) },
  });

test.each([
  ["an adapter that is none", HELP, "gpu", /^error: TWEEDIE_ADAPTER "gpu": want swiftshader or system\n$/],
  ["a program that is not there", ["no/where.ts"], "system", /^error: \/.*no\/where\.ts: no such file, want FILE\.ts/],
  ["a folder in place of a program", ["packages"], "system", /^error: \/.*packages: no such file, want FILE\.ts/],
  ["nothing", [], "system", /^error: want FILE\.ts \[arguments\], a program to run\n$/],
])("%s is one line and exit code 2", (_, words, adapter, wanted) => {
  const { status, stdout, stderr } = run(words, adapter);
  expect(stderr).toMatch(wanted);
  expect([status, stdout]).toEqual([2, ""]);
});

test("an empty TWEEDIE_ADAPTER is none given", () => {
  const { status, stderr } = run(HELP, "");
  expect([status, stderr]).toEqual([0, ""]);
});
