// What a reader meets when a folder is opened: files that are read in one go.
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const products = ["kernels", ...readdirSync(join(root, "packages")).map((name) => `packages/${name}/src`)];

test("no file of a product is longer than 350 lines", () => {
  const files = products.flatMap(filesIn).filter((file) => /\.(ts|mjs|as|wgsl)$/.test(file));
  expect(files.length).toBeGreaterThan(300);
  const long = files
    .map((file) => ({ file: relative(root, file), lines: readFileSync(file, "utf8").split("\n").length - 1 }))
    .filter(({ lines }) => lines > 350);
  expect(long).toEqual([]);
});

function filesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && !/node_modules|dist/.test(entry.parentPath))
    .map((entry) => join(entry.parentPath, entry.name));
}
