// `node tools/run.mjs [--software] ENTRY.ts [arguments]` bundles a TypeScript program from the workspace's sources and runs it
// here, with the WebGPU adapter that TWEEDIE_ADAPTER names: by default the machine's, with --software SwiftShader.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundleOptions } from "./bundleOptions.mjs";
import { adapterEnvironment } from "./softwareAdapter.mjs";

const isSoftware = process.argv[2] === "--software";
const [entry, ...rest] = process.argv.slice(isSoftware ? 3 : 2);
if (!entry) {
  throw new Error("usage: node tools/run.mjs [--software] ENTRY.ts [arguments]");
}
const environment = adapterEnvironment(process.env.TWEEDIE_ADAPTER ?? (isSoftware ? "swiftshader" : "system"));
if (Object.entries(environment).some(([name, value]) => process.env[name] !== value)) {
  runAgain(environment);
} else {
  const program = await bundle(resolve(entry));
  // pnpm hands over the "--" of `pnpm start -- --minutes 1`; npm and `pnpm start --minutes 1` have none.
  const separator = rest.indexOf("--");
  process.argv = [process.argv[0], resolve(entry), ...rest.filter((_, index) => index !== separator)];
  process.setSourceMapsEnabled(true);
  await import(pathToFileURL(program).href);
}

/**
 * Bundles the workspace's own packages and leaves those from npm, and tools, to Node. The output lies inside the entry's
 * package, since that is where pnpm makes its dependencies resolvable.
 * @param {string} entry
 */
async function bundle(entry) {
  const output = join(packageOf(entry), "node_modules/.cache/tweedie", `${basename(entry, ".ts")}.mjs`);
  const { outputFiles } = await build({
    ...bundleOptions,
    entryPoints: [entry],
    outfile: output,
    write: false,
    plugins: [...bundleOptions.plugins, { name: "npm packages outside", setup: leavePackagesOutside }],
    logLevel: "warning",
  });
  mkdirSync(dirname(output), { recursive: true });
  const unfinished = `${output}.${process.pid}`;
  writeFileSync(unfinished, outputFiles[0].contents);
  renameSync(unfinished, output);
  return output;
}

/** @param {import("esbuild").PluginBuild} build */
function leavePackagesOutside({ onResolve }) {
  onResolve({ filter: /^[^./#]/ }, ({ path, kind }) =>
    kind === "entry-point" || path.startsWith("@pkg/") ? undefined : { path, external: true },
  );
  // Tools find their files beside themselves, so they stay where they are.
  onResolve({ filter: /^\..*\.mjs$/ }, ({ path, resolveDir }) => ({
    path: pathToFileURL(resolve(resolveDir, path)).href,
    external: true,
  }));
}

/**
 * The folder of the nearest package.json above.
 * @param {string} path
 * @returns {string}
 */
function packageOf(path) {
  const parent = dirname(path);
  if (parent === path) {
    throw new Error(`run: no package.json above ${entry}`);
  }
  return existsSync(join(parent, "package.json")) ? parent : packageOf(parent);
}

/**
 * Starts this command once more, because a process can't change its own library path.
 * @param {Record<string, string>} environment
 */
function runAgain(environment) {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: "inherit",
    env: { ...process.env, ...environment },
  });
  process.on("SIGINT", () => {}); // the terminal sends it to the child too, which decides
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exitCode = code ?? 1;
    }
  });
}
