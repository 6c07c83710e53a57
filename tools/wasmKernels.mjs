// Compiles the WebAssembly backend's kernels (AssemblyScript) and hands them to esbuild and Vite as a JavaScript module.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { cacheFolder } from "./cacheFolder.mjs";
import { assemble, constantsInGlobals } from "./wasmConstants.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const sources = join(root, "packages/tensor/src/backends/wasm/kernels");

const options = [
  "index.ts",
  ...["--runtime", "stub", "-O3", "--noAssert", "--noExportMemory"],
  // One memory for all threads, whose first page the backend keeps for itself.
  ...["--importMemory", "--sharedMemory", "--initialMemory", "1", "--maximumMemory", "65536"],
  ...["--enable", "threads", "--enable", "simd"],
];
/** Without and with fused multiply-add. */
const variants = { simd: [], relaxed: ["--enable", "relaxed-simd"] };

/**
 * The kernels' binaries as a module with one export a variant: base64 of the gzipped binary; and `parameters`, which names what each
 * kernel takes. Compiled once a change of the sources.
 * @returns {Promise<string>}
 * @throws {Error} with the compiler's messages
 */
export async function wasmKernels() {
  const names = readdirSync(sources).filter((name) => name.endsWith(".as"));
  const texts = new Map(names.sort().map((name) => [name, readFileSync(join(sources, name), "utf8")]));
  const compiler = readFileSync(join(root, "node_modules/assemblyscript/package.json"), "utf8");
  const tools = ["wasmKernels.mjs", "wasmConstants.mjs"].map((name) => readFileSync(join(root, "tools", name), "utf8"));
  const inputs = [...texts].flat().concat(compiler, tools);
  const target = join(
    cacheFolder(),
    `kernels-${createHash("sha256").update(inputs.join("\0")).digest("hex").slice(0, 16)}.js`,
  );
  try {
    return readFileSync(target, "utf8");
  } catch {
    const module = await compile(texts);
    const unfinished = `${target}.${process.pid}`;
    writeFileSync(unfinished, module);
    renameSync(unfinished, target);
    return module;
  }
}

/** @type {import("esbuild").Plugin} */
export const esbuildWasmKernels = {
  name: "wasm kernels",
  setup({ onLoad }) {
    onLoad({ filter: /\/kernels\/index\.as$/ }, async () => ({
      contents: await wasmKernels(),
      loader: "js",
      watchFiles: readdirSync(sources).map((name) => join(sources, name)),
    }));
  },
};

/** @type {import("vite").Plugin} */
export const viteWasmKernels = {
  name: "wasm kernels",
  load: (id) => (id.endsWith("/kernels/index.as") ? wasmKernels() : undefined),
};

/** @param {Map<string, string>} texts */
async function compile(texts) {
  const asc = await import("assemblyscript/asc");
  let module = `export const parameters = ${JSON.stringify(parametersOf(texts))};\n`;
  for (const [name, features] of Object.entries(variants)) {
    /** @type {string | Uint8Array | undefined} */
    let text;
    const { error, stderr } = await asc.main([...options, ...features, "--textFile", "kernels.wat"], {
      // The compiler knows no extension but its own, which would make these files TypeScript to everybody else.
      readFile: (path) => texts.get(path.replace(/\.ts$/, ".as")) ?? null,
      writeFile: (_, contents) => {
        text = contents;
      },
      listFiles: () => [],
    });
    if (error || !text) throw new Error(`wasm kernels: ${error?.message ?? "no output"}\n${stderr.toString()}`);
    const binary = assemble(constantsInGlobals(String(text)));
    module += `export const ${name} = "${gzipSync(binary, { level: 9 }).toString("base64")}";\n`;
  }
  return module;
}

/**
 * The names of each kernel's parameters after `begin` and `end`, in their order: the compiler keeps none.
 * @param {Map<string, string>} texts
 */
function parametersOf(texts) {
  /** @type {Record<string, string[]>} */
  const parameters = {};
  for (const text of texts.values()) {
    for (const [, name, rest] of text.matchAll(/^export function (\w+)\(\s*_?begin: i32, _?end: i32,([^)]*)\)/gm)) {
      parameters[name] = [...rest.matchAll(/(\w+):/g)].map(([, parameter]) => parameter);
    }
  }
  return parameters;
}
