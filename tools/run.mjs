// `node tools/run.mjs [--software] [--from-caller] ENTRY.ts [arguments]` bundles a TypeScript program, with the workspace's packages
// from their sources, and runs it with the WebGPU adapter that TWEEDIE_ADAPTER names: by default the machine's, with --software
// SwiftShader. With --from-caller ENTRY.ts lies, and the program runs, where pnpm was called.
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { basename, extname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { bundleOptions } from "./bundleOptions.mjs";
import { cacheFolder } from "./cacheFolder.mjs";
import { ADAPTERS, adapterEnvironment } from "./softwareAdapter.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const given = process.argv.slice(2);
const isSoftware = takeFirst("--software");
if (takeFirst("--from-caller") && process.env.INIT_CWD) process.chdir(process.env.INIT_CWD);
const [entry, ...rest] = given;
const adapter = process.env.TWEEDIE_ADAPTER || (isSoftware ? "swiftshader" : "system");
if (!ADAPTERS.includes(adapter)) {
  process.stderr.write(`error: TWEEDIE_ADAPTER ${JSON.stringify(adapter)}: want ${ADAPTERS.join(" or ")}\n`);
  process.exitCode = 2;
} else if (!entry || !statSync(entry, { throwIfNoEntry: false })?.isFile()) {
  process.stderr.write(
    `error: ${entry ? `${resolve(entry)}: no such file, ` : ""}want FILE.ts [arguments], a program to run\n`,
  );
  process.exitCode = 2;
} else if (Object.entries(adapterEnvironment(adapter)).some(([name, value]) => process.env[name] !== value)) {
  runAgain(adapterEnvironment(adapter));
} else {
  const program = await bundle(resolve(entry));
  if (program === undefined) {
    process.exitCode = 1;
  } else {
    // pnpm hands over the "--" of `pnpm start -- --minutes 1`; npm and `pnpm start --minutes 1` have none.
    const separator = rest.indexOf("--");
    process.argv = [process.argv[0], resolve(entry), ...rest.filter((_, index) => index !== separator)];
    process.setSourceMapsEnabled(true);
    await import(pathToFileURL(program).href);
  }
}

/** @param {string} word */
function takeFirst(word) {
  if (given[0] !== word) return false;
  given.shift();
  return true;
}

/**
 * Bundles the workspace's own packages and leaves those from npm, and tools, to Node.
 * @param {string} entry
 * @returns the bundle; nothing after errors in the sources, which are printed
 */
async function bundle(entry) {
  const key = createHash("sha256").update(entry).digest("hex").slice(0, 16);
  const output = join(cacheFolder(), `${basename(entry, extname(entry))}-${key}.mjs`);
  let outputFiles;
  try {
    ({ outputFiles } = await build({
      ...bundleOptions,
      entryPoints: [entry],
      outfile: output,
      write: false,
      plugins: [...bundleOptions.plugins, { name: "from anywhere", setup: fromAnywhere }],
      logLevel: "warning",
    }));
  } catch (error) {
    if (error instanceof Error && "errors" in error) return undefined;
    throw error;
  }
  const unfinished = `${output}.${process.pid}`;
  writeFileSync(unfinished, outputFiles[0].contents);
  renameSync(unfinished, output);
  return output;
}

/**
 * Lets the bundle lie elsewhere than its sources, and the program outside of the workspace.
 * @param {import("esbuild").PluginBuild} build
 */
function fromAnywhere({ onResolve, onLoad, resolve: find }) {
  onResolve({ filter: /^[^./#]/ }, async ({ path, kind, resolveDir, pluginData }) => {
    if (kind === "entry-point" || pluginData === find) return undefined;
    if (isBuiltin(path)) return { path, external: true };
    for (const from of [resolveDir, root]) {
      const found = await find(path, { kind, resolveDir: from, pluginData: find });
      if (found.errors.length > 0) continue;
      return path.startsWith("@pkg/") ? found : { path: pathToFileURL(found.path).href, external: true };
    }
    return { path, external: true };
  });
  // Tools find their files beside themselves, so they stay where they are.
  onResolve({ filter: /^\..*\.mjs$/ }, ({ path, resolveDir }) => ({
    path: pathToFileURL(resolve(resolveDir, path)).href,
    external: true,
  }));
  // A module's address is that of its source.
  onLoad({ filter: /\.[jt]s$/ }, ({ path }) => {
    const text = readFileSync(path, "utf8");
    if (!text.includes("import.meta.url")) return undefined;
    const address = JSON.stringify(pathToFileURL(path).href);
    return { contents: text.replaceAll("import.meta.url", address), loader: path.endsWith("ts") ? "ts" : "js" };
  });
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
  process.on("SIGHUP", () => child.kill("SIGHUP"));
  child.on("exit", (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    } else {
      process.exitCode = code ?? 1;
    }
  });
}
