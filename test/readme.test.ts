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
  expect(Math.max(...losses)).toBeLessThan(0.2); // predicting no noise at all costs 1
  const images = stdout.split("\n").filter((line) => /^[#.]{8}\s*$/.test(line));
  expect(images).toHaveLength(32);
  // A network that small, trained for seconds, may smear one of four.
  const clear = [0, 1, 2, 3].filter((k) => {
    const bright = images.slice(8 * k, 8 * k + 8).map((line) => line.split("#").length - 1);
    const total = bright.reduce((a, b) => a + b, 0);
    return Math.max(...bright) >= 7 && total <= 10;
  });
  expect(clear.length, images.join("\n")).toBeGreaterThanOrEqual(3);
});
