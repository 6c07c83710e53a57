// Keeps README.md true: runs the program that it shows.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
// Inside the repository, where its packages resolve.
const directory = mkdtempSync(join(root, "node_modules/.readme-"));
afterAll(() => rmSync(directory, { recursive: true }));

test("the program learns, and draws one bright row in each image", async () => {
  const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8")) ?? [];
  expect(program.split("\n").length).toBeLessThan(35);
  const file = join(directory, "program.ts");
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  writeFileSync(file, program);
  const { stdout } = await promisify(execFile)(process.execPath, ["tools/run.mjs", file], { cwd: root });
  const losses = [...stdout.matchAll(/loss (\S+)/g)].map(([, loss]) => Number(loss));
  expect(losses).toHaveLength(4);
  expect(losses[3]).toBeLessThan(0.5 * losses[0]);
  const images = stdout.split("\n").filter((line) => /^[#.]{8}\s*$/.test(line));
  expect(images).toHaveLength(32);
  for (let k = 0; k < 4; k++) {
    const bright = images.slice(8 * k, 8 * k + 8).filter((line) => line.startsWith("########"));
    expect(bright.length, images.slice(8 * k, 8 * k + 8).join("\n")).toBe(1);
  }
});
