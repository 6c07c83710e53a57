// Keeps docs/hosts.md true: its program goes on from what it saved when the device is lost in the middle, and ends with the same bits.
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { gpuAvailable } from "../setup/gpu.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const [, program] = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, "docs/hosts.md"), "utf8")) ?? [];

/** What it prints, with a change. */
async function outputOf(change: (text: string) => string): Promise<{ stdout: string; stderr: string }> {
  const directory = mkdtempSync(join(root, "node_modules/.hosts-")); // where the packages resolve
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');
  writeFileSync(join(directory, "program.ts"), change(program));
  const run = ["tools/run.mjs", "--software", join(directory, "program.ts")];
  return promisify(execFile)(process.execPath, run, { cwd: root });
}

/** `text` with one place replaced, which must be there once. */
function replaced(text: string, from: string, to: string): string {
  expect(text.split(from)).toHaveLength(2);
  return text.replace(from, to);
}

const kinds = [
  { kind: "wasm", skip: false },
  { kind: "webgpu", skip: !gpuAvailable },
] as const;

for (const { kind, skip } of kinds) {
  test.skipIf(skip)(
    `a run whose device is lost twice on ${kind} ends with the bits of one that was not disturbed`,
    async () => {
      const here = (text: string) =>
        replaced(
          replaced(text, "await bestBackend()", `await ${kind}()`),
          "bestBackend, DeviceLostError,",
          `DeviceLostError, ${kind},`,
        );
      const losing = (text: string) =>
        replaced(
          here(text),
          "    const x = rng",
          "    if (step === [33, 45][losses]) {\n      losses++;\n      backend.dispose();\n    }\n    const x = rng",
        ).replace("async function train", "let losses = 0;\nasync function train");
      const undisturbed = await outputOf(here);
      const disturbed = await outputOf(losing);
      expect(undisturbed.stderr).toBe("");
      expect(undisturbed.stdout.split("\n").length).toBeGreaterThan(6);
      expect(disturbed.stderr).toMatch(/the backend is disposed, want a new .*; going on from step 20\n.*step 40\n$/);
      expect(disturbed.stdout).toBe(undisturbed.stdout);
    },
  );
}
