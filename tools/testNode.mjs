// `node tools/testNode.mjs 24 26 [test files]`: runs tests on other versions of Node, which npm's package `node` holds.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What depends on the engine: WebAssembly, workers, timers, files. */
const USUAL = [
  "test/hosts",
  "test/tensor/backends/wasm.test.ts",
  "test/tensor/ops/functions.test.ts",
  "test/tensor/debug.test.ts",
];

const root = fileURLToPath(new URL("..", import.meta.url));
const given = process.argv.slice(2).filter((argument) => argument !== "--");
const versions = given.filter((argument) => /^\d+(\.\d+)*$/.test(argument));
const files = given.filter((argument) => !versions.includes(argument));
if (versions.length === 0) {
  console.error("usage: pnpm test:node VERSION… [test files], as in pnpm test:node 22 24 26");
  process.exit(2);
}

let failed = 0;
for (const version of versions) {
  const node = install(version);
  console.log(`\nNode ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const { status } = spawnSync(node, [vitest, "run", ...(files.length > 0 ? files : USUAL)], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) failed++;
}
process.exit(failed);

/**
 * The executable of a version, installed where it is not yet.
 * @param {string} version
 * @returns {string}
 */
function install(version) {
  const folder = join(root, "node_modules/.cache/tweedie", `node-${version}`);
  const executable = join(folder, "node_modules/node/bin", process.platform === "win32" ? "node.exe" : "node");
  if (existsSync(executable)) return executable;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const flags = ["install", "--no-audit", "--no-fund", "--prefix", folder];
  const { status } = spawnSync(npm, [...flags, `node@${version}`], { stdio: ["ignore", "ignore", "inherit"] });
  if (status !== 0 || !existsSync(executable))
    throw new Error(`test:node: node@${version} cannot be installed from npm`);
  return executable;
}
