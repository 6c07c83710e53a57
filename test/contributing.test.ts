// Keeps CONTRIBUTING.md true: follows its recipes in a copy of the repository, and runs what they say to run.
import { spawn } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { copyOfRepository } from "../tools/repositoryCopy.ts";
import { apply, readRecipes } from "./recipes.ts";

const text = readFileSync(new URL("../CONTRIBUTING.md", import.meta.url), "utf8");
const { recipes, forAll } = readRecipes(text);
const copy = copyOfRepository("recipes");
afterAll(() => rmSync(copy, { recursive: true }));

/** Runs a command as pnpm would, for which the packages are installed. Returns what it printed. */
async function run(command: string): Promise<string> {
  const [, name, words] = /^(\S+) ?(.*)$/.exec(command) ?? [];
  const { scripts } = JSON.parse(readFileSync(join(copy, "package.json"), "utf8"));
  const others = Object.entries(process.env).filter(([variable]) => !variable.startsWith("VITEST"));
  const path = `${join(copy, "node_modules/.bin")}${delimiter}${process.env.PATH}`;
  const env = { ...Object.fromEntries(others), PATH: path, NO_COLOR: "1" };
  const child = spawn(`${scripts[name]} ${words}`, { cwd: copy, env, shell: true, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
  const code = await new Promise((resolve) => child.on("close", resolve));
  expect(code, `${command}\n${printed}`).toBe(0);
  return printed;
}

/** Several programs, each of which starts from nothing. */
const PATIENCE = { timeout: 600_000 };

describe("the recipe for", PATIENCE, () => {
  test.each(recipes)("$name", async ({ edits, commands }) => {
    expect(edits.length).toBeGreaterThan(0);
    expect(commands.length).toBeGreaterThan(0);
    for (const edit of edits) apply(edit, copy);
    for (const command of commands) {
      const printed = await run(command);
      // A name that no test has would pass as well.
      if (command.startsWith("test ")) expect(printed).toMatch(/Tests .*\d+ passed/);
    }
  });
});

test("the copy with all of them passes what each ends with", PATIENCE, async () => {
  expect(forAll.length).toBeGreaterThan(0);
  for (const command of forAll) await run(command);
});
