// Deno, from npm: says whether it is there, and runs scripts in it.
import { execFile, spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { promisify } from "node:util";

const launcher = createRequire(import.meta.url).resolve("deno/bin.cjs");
const offline = { DENO_NO_UPDATE_CHECK: "1" };
const version = spawnSync(process.execPath, [launcher, "--version"], { env: { ...process.env, ...offline } });

/** False where Deno has no build (musl, unusual processors); a message says that its tests are not run. */
export const denoAvailable = version.status === 0;

if (!denoAvailable) process.stderr.write(`\n*** Deno's tests are NOT run: ${version.stderr} ***\n\n`);

/** What a script prints in Deno, with all permissions but the network; its cache lies beside the script. @throws when it fails */
export async function denoOutput(script: string): Promise<string> {
  const env = { ...process.env, ...offline, DENO_DIR: dirname(script) };
  return (await promisify(execFile)(process.execPath, [launcher, "run", "-A", "--deny-net", script], { env })).stdout;
}
