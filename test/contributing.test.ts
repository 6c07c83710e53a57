// Keeps CONTRIBUTING.md true: adds the op that it shows to a copy of the engine, and uses it.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { bundleOptions } from "../tools/bundleOptions.mjs";

const engine = new URL("../packages/tensor/", import.meta.url).pathname;
// Inside the package, where its dependencies resolve.
const copy = mkdtempSync(join(engine, "node_modules/.contributing-"));
afterAll(() => rmSync(copy, { recursive: true }));

test("the op of the three steps has a value and gradients of both orders", async () => {
  const text = readFileSync(new URL("../CONTRIBUTING.md", import.meta.url), "utf8");
  const [declaration, method] = [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code);
  cpSync(join(engine, "src"), join(copy, "src"), { recursive: true });
  edit("src/ops/elementwise/functions.ts", (source) => `${source}\n${declaration}`);
  edit("src/tensor/functions.ts", (source) => source.replace(/^(export abstract class .*\n)/m, `$1${method}\n`));
  const entry = join(copy, "src/entry.ts");
  writeFileSync(
    entry,
    `import { cpu, grad, tensor } from "./index.ts";
    const backend = cpu();
    const x = tensor(2, { backend });
    const slope = (x) => grad((x) => x.cube(), [x])[0];
    export const values = await Promise.all([x.cube().item(), slope(x).item(), grad(slope, [x])[0].item()]);`,
  );
  const outfile = join(copy, "entry.mjs");
  await build({ ...bundleOptions, entryPoints: [entry], outfile, logLevel: "error" });
  const { values } = (await import(pathToFileURL(outfile).href)) as { values: number[] };
  expect(values).toEqual([8, 12, 12]);
});

function edit(path: string, change: (source: string) => string): void {
  const file = join(copy, path);
  const before = readFileSync(file, "utf8");
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(file, after);
}
