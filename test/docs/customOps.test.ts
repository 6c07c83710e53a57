// Keeps docs/customOps.md true: runs the ops that it shows as a program outside of the packages, on every backend.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
// Inside the repository, where its packages resolve.
const folder = mkdtempSync(join(root, "node_modules/.custom-ops-"));
afterAll(() => rmSync(folder, { recursive: true }));

const program = `
import { capture, cpu, grad, tensor, wasm, webgpu } from "@pkg/tensor";
const backends = [cpu(), await wasm({ threads: 1 })${gpuAvailable ? ", await webgpu()" : ""}];
const results = [];
for (const backend of backends) {
  const x = tensor([1, -2, 0, 4, 9], { backend });
  const loss = (x: Tensor) => roll(softsign(x), 2).mul(tensor([1, 2, 3, 4, 5], { backend })).sum();
  const slope = (x: Tensor) => grad(loss, [x])[0];
  const captured = capture((x: Tensor) => roll(softsign(x), 2));
  let replayed = captured(x);
  for (let k = 0; k < 3; k++) replayed = captured(x);
  results.push({
    value: await roll(softsign(x), 2).array(),
    replayed: await replayed.array(),
    strided: await roll(x.flip(), 1).array(),
    slope: await slope(x).array(),
    curvature: await grad((x) => slope(x).sum(), [x])[0].array(),
    error: (() => { try { roll(x, 7); } catch (error) { return error.message; } })(),
  });
}
console.log(JSON.stringify(results));
`;

test("the ops of the document have values and gradients of both orders, captured too", async () => {
  const text = readFileSync(join(root, "docs/customOps.md"), "utf8");
  const [, shown] = /```ts\n([\s\S]*?)```/.exec(text)!;
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "ops.ts"), `${shown}\n${program}`);
  const { stdout } = await promisify(execFile)(process.execPath, ["tools/run.mjs", join(folder, "ops.ts")], {
    cwd: root,
  });
  const results: Record<string, number[]>[] = JSON.parse(stdout);
  expect(results).toHaveLength(gpuAvailable ? 3 : 2);
  const x = [1, -2, 0, 4, 9];
  const [weights, n] = [[3, 4, 5, 1, 2], x.length]; // element i goes to place i + 2
  const softsign = x.map((v) => v / (1 + Math.abs(v)));
  const wanted = {
    value: softsign.map((_, i) => softsign[(i + n - 2) % n]),
    replayed: softsign.map((_, i) => softsign[(i + n - 2) % n]),
    strided: [1, 9, 4, 0, -2],
    slope: x.map((v, i) => weights[i] / (1 + Math.abs(v)) ** 2),
    curvature: x.map((v, i) => (-2 * weights[i] * Math.sign(v)) / (1 + Math.abs(v)) ** 3),
  };
  for (const found of results) {
    expect(found.error).toBe("roll: shape [5] by 7, want [n] by an integer in [0, n)");
    for (const [name, numbers] of Object.entries(wanted)) {
      for (const [i, number] of numbers.entries()) expect(Math.abs(found[name][i] - number), name).toBeLessThan(1e-5);
    }
  }
});
