// A source file as a script that a child process can run: Node 20 does not read TypeScript. Not a test.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { onTestFinished } from "vitest";
import { bundleOptions } from "../../tools/bundleOptions.mjs";

/** A new directory that goes when the test ends. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "tweedie-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Bundles code that imports from packages/cli/src ("./files/atomicFile.ts") into `directory`; returns the script's path. */
export async function bundled(code: string, directory: string): Promise<string> {
  const script = join(directory, "script.mjs");
  await build({
    ...bundleOptions,
    stdin: {
      contents: code,
      loader: "ts",
      resolveDir: fileURLToPath(new URL("../../packages/cli/src", import.meta.url)),
    },
    // CommonJS packages inside an ES module still call require.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    outfile: script,
    logLevel: "error",
  });
  return script;
}
