// A checkout that cannot be written: bundles and kernels go to a folder of the user's, and the commands run.
import { execFile, execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const work = mkdtempSync(join(tmpdir(), "tweedie-read-only-"));
afterAll(() => rmSync(work, { recursive: true }));

// What stands for a folder that nobody may write, root included, is a file in its place.
const checkout = join(work, "checkout");
mkdirSync(join(checkout, "node_modules"), { recursive: true });
for (const name of readdirSync(join(root, "node_modules")))
  if (name !== ".cache")
    symlinkSync(join(root, "node_modules", name), join(checkout, "node_modules", name), "junction");
writeFileSync(join(checkout, "node_modules/.cache"), "");
for (const name of ["packages", "docs", "kernels", "bench", "test"])
  symlinkSync(join(root, name), join(checkout, name), "junction");
cpSync(join(root, "tools"), join(checkout, "tools"), { recursive: true });
writeFileSync(join(checkout, "out"), "");

const caches = join(work, "caches");
const run = (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
  promisify(execFile)(process.execPath, ["tools/run.mjs", ...words], {
    cwd: checkout,
    env: { ...process.env, XDG_CACHE_HOME: caches, ...env },
  });

test("commands run, and what they make once lies in the user's cache", async () => {
  const sampling = [
    "packages/cli/src/main.ts",
    "sample",
    "--count",
    "1",
    "--ddim-steps",
    "1",
    "--ancestral-steps",
    "0",
  ];
  const { stdout } = await run([...sampling, "--backend", "wasm", "--out", join(work, "out")]);
  expect(stdout).toContain("1 samples by ddim");
  const folders = readdirSync(join(caches, "tweedie"));
  expect(folders).toHaveLength(1);
  const made = readdirSync(join(caches, "tweedie", folders[0])).map((name) => name.replace(/-[0-9a-f]{16}/, ""));
  expect(made.sort()).toEqual(["kernels.js", "main.mjs", "node_modules"]);

  const benching = await run(["bench/main.ts", "--quick", "--backend", "wasm", "--filter", "softmax"]);
  expect(benching.stdout).toContain("softmax");
});

test("--out that cannot be written is one line that names it, before any work", async () => {
  await expect(run(["packages/cli/src/main.ts", "sample"])).rejects.toMatchObject({
    code: 2,
    stdout: "",
    stderr: expect.stringMatching(/^error: --out out: [^\n]*, want a directory that can be written\n$/),
  });
});

/** The cache folder that a new process takes. */
function cacheFolder(env: Readonly<Record<string, string>>): string {
  const program = `import { cacheFolder } from ${JSON.stringify(join(checkout, "tools/cacheFolder.mjs"))}; console.log(cacheFolder());`;
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, ...env },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  }).trim();
}

test("where the user has no cache either, the temporary folder has one that is the user's alone", () => {
  const [noCaches, temporary] = [join(work, "a file"), join(work, "temporary")];
  writeFileSync(noCaches, "");
  mkdirSync(temporary);
  const env = { XDG_CACHE_HOME: noCaches, LOCALAPPDATA: noCaches, TMPDIR: temporary, TEMP: temporary };
  const folder = cacheFolder(env);
  expect(folder.startsWith(join(temporary, "tweedie-"))).toBe(true);
  expect(existsSync(join(folder, "node_modules/esbuild"))).toBe(true);
  expect(cacheFolder(env)).toBe(folder);
  if (process.platform === "win32") return;
  execFileSync("chmod", ["777", folder]); // as somebody else might have made it, to run programs of theirs
  expect(() => cacheFolder(env)).toThrow(/cache: cannot write .* want one of them/);
});
