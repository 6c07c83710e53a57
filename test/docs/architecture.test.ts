// Keeps docs/architecture.md true and short: what its tree names is there, and so are the folders that stand in it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const text = readFileSync(join(root, "docs/architecture.md"), "utf8");

/** The paths of the tree: those on an indented line lie in the folder above it. */
function pathsOf(tree: string): string[] {
  let folder = "";
  return tree
    .trim()
    .split("\n")
    .flatMap((line) => {
      // Words follow two spaces; before them stand paths.
      const names = line.trim().split(/ {2,}/)[0].split(" ");
      if (line.startsWith(" ")) return names.map((name) => join(folder, name));
      folder = names[0];
      return names;
    });
}

const paths = pathsOf(/```\n([\s\S]*?)```/.exec(text)?.[1] ?? "");

test("every path in the tree is there", () => {
  expect(paths.length).toBeGreaterThan(30);
  expect(paths.filter((path) => !existsSync(join(root, path)))).toEqual([]);
});

test.each(["packages/tensor/src", "packages/diffusion/src"])("every folder of %s stands in the tree", (folder) => {
  const folders = readdirSync(join(root, folder), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const listed = paths.map((path) => path.replace(/\/$/, ""));
  expect(folders.map(({ name }) => `${folder}/${name}`).filter((path) => !listed.includes(path))).toEqual([]);
});

test("it has at most 1,000 words", () => {
  expect(text.split(/\s+/).length).toBeLessThanOrEqual(1000);
});
