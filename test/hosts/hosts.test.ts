// One program on every host: Node, Deno, a Node without shared memory, and Nodes whose workers fail; with the same bits everywhere.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { bundled, temporaryDirectory } from "../cli/bundled.ts";
import { denoAvailable, denoOutput } from "./deno.ts";

const oneStep = `import ${JSON.stringify(fileURLToPath(new URL("oneStep.ts", import.meta.url)))};`;
const nameOfTwo = `
  import { wasm } from "@pkg/tensor";
  console.log((await wasm({ threads: 2 })).name);
`;

/** What code prints in a Node of its own. */
async function outputOf(code: string, ...flags: string[]): Promise<string> {
  const script = await bundled(code, temporaryDirectory());
  const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, script], {
    encoding: "utf8",
    timeout: 60_000,
  });
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  return stdout;
}

/** A flag that has code run before a program, and in each of its workers. */
function preload(code: string): string[] {
  const file = join(temporaryDirectory(), "before.cjs");
  writeFileSync(file, `const { isMainThread } = require("node:worker_threads");\n${code}`);
  return ["--require", file];
}

/** Results by backend, without what the names say of threads. */
function results(stdout: string): unknown[] {
  return Object.values(JSON.parse(stdout));
}

test.skipIf(!denoAvailable)(
  "Deno trains a step on cpu and wasm to the bits of Node, on one thread and on two",
  async () => {
    const inNode = await outputOf(oneStep);
    const inDeno = await denoOutput(await bundled(oneStep, temporaryDirectory()));
    expect(Object.keys(JSON.parse(inDeno))).toEqual([
      "cpu: float32",
      "wasm: 1 thread, simd + fma",
      "wasm: 2 threads, simd + fma",
    ]);
    expect(JSON.parse(inDeno)).toEqual(JSON.parse(inNode));
    const [, one, two] = results(inNode);
    expect(two).toEqual(one);
  },
);

const loop = `
  import { wasm } from "@pkg/tensor";
  import { LOOPS } from ${JSON.stringify(fileURLToPath(new URL("../../bench/soakLoops.ts", import.meta.url)))};
  const backend = await wasm({ threads: 1 });
  const step = LOOPS.arithmetic(backend);
  for (let k = 0; k < 150; k++) step(k);
  console.log(backend.memory().peakBytes);
`;

test("Node and Deno run a loop without tidy, readings or turns in 64 MiB and what a step takes", async () => {
  const printed = [await outputOf(loop)];
  if (denoAvailable) printed.push(await denoOutput(await bundled(loop, temporaryDirectory())));
  for (const bytes of printed) expect(Number(bytes)).toBeLessThanOrEqual((64 + 4) * 2 ** 20);
});

test("a module on Node's command line has its workers too, which inherit --input-type", async () => {
  const code = readFileSync(await bundled(nameOfTwo, temporaryDirectory()), "utf8");
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module"], { encoding: "utf8", input: code });
  expect([stderr, stdout]).toEqual(["", expect.stringMatching(/^wasm: 2 threads, simd( \+ fma)?\n$/)]);
});

test("without SharedArrayBuffer the package is imported, and trains on one thread to the same bits; the name says why", async () => {
  const output = await outputOf(oneStep, ...preload("delete globalThis.SharedArrayBuffer;"));
  expect(Object.keys(JSON.parse(output))[2]).toMatch(/^wasm: 1 thread, .* \(no more: there is no SharedArrayBuffer\)$/);
  expect(results(output)).toEqual(results(await outputOf(oneStep)));
});

describe("a worker that does not come to work is left out, and the name says why:", () => {
  test("one that ends", async () => {
    const output = await outputOf(nameOfTwo, ...preload("if (!isMainThread) process.exit(3);"));
    expect(output).toMatch(/^wasm: 1 thread, .* \(no more: a worker ended with code 3 before it was ready\)\n$/);
  });

  test("one that throws", async () => {
    const output = await outputOf(nameOfTwo, ...preload('if (!isMainThread) throw new Error("no luck");'));
    expect(output).toMatch(/^wasm: 1 thread, .* \(no more: a worker failed: no luck\)\n$/);
  });

  test("one that Node's permissions forbid", async () => {
    const flag = process.allowedNodeEnvironmentFlags.has("--permission") ? "--permission" : "--experimental-permission";
    const output = await outputOf(nameOfTwo, flag, "--allow-fs-read=*", "--no-warnings");
    expect(output).toMatch(/^wasm: 1 thread, .* \(no more: no worker can be started: .*restricted.*\)\n$/i);
  });

  test("one that says nothing, after the limit", async () => {
    const code = `
      import { loadKernels } from "../../tensor/src/backends/wasm/binary.ts";
      import { startWorkers } from "../../tensor/src/backends/wasm/workers.ts";
      const { module } = await loadKernels({ fused: false, shared: true });
      const memory = new WebAssembly.Memory({ initial: 64, maximum: 64, shared: true });
      const { workers, failure } = await startWorkers({ module, memory, scratch: [2 ** 17, 2 ** 20] }, 200);
      console.log(workers.length, failure);
    `;
    const asleep = preload(
      "if (!isMainThread) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20_000); // and is ended before",
    );
    expect(await outputOf(code, ...asleep)).toBe("0 a worker said nothing for 0.2 s\n");
  });
});
