// Unpacks a software Vulkan driver (SwiftShader and the Vulkan loader) from npm, and says how a process finds it.
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { parseTar } from "nanotar";

const nodeModules = fileURLToPath(new URL("../node_modules", import.meta.url));

/**
 * The environment variables under which a new process uses the chosen adapter. The dynamic linker reads
 * LD_LIBRARY_PATH when a process starts, so set them before starting it: they don't act on the present one.
 * @param {string} adapter "swiftshader", or "system" for whatever the machine offers
 * @returns {Record<string, string>} empty where nothing needs to change; SwiftShader is unpacked on linux-x64 only
 * @throws {Error} when the adapter has another name
 */
export function adapterEnvironment(adapter) {
  if (adapter !== "swiftshader" && adapter !== "system") {
    throw new Error(`TWEEDIE_ADAPTER: ${JSON.stringify(adapter)}, want "swiftshader" or "system"`);
  }
  if (adapter === "system" || process.platform !== "linux" || process.arch !== "x64") {
    return {};
  }
  const directory = unpackSwiftShader();
  const driver = join(directory, "vk_swiftshader_icd.json");
  const libraries = (process.env.LD_LIBRARY_PATH ?? "").split(delimiter).filter((path) => path && path !== directory);
  return {
    LD_LIBRARY_PATH: [directory, ...libraries].join(delimiter),
    VK_DRIVER_FILES: driver,
    VK_ICD_FILENAMES: driver, // the older name of VK_DRIVER_FILES, which other loaders read
  };
}

/** Written aside and renamed, so that a process killed halfway or a second one leaves no half-filled folder. */
function unpackSwiftShader() {
  const source = join(nodeModules, "@sparticuz/chromium");
  const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  const cache = join(nodeModules, ".cache/tweedie");
  const target = join(cache, `swiftshader-${version}`);
  if (isDirectory(target)) {
    return target;
  }
  mkdirSync(cache, { recursive: true });
  const unfinished = mkdtempSync(`${target}-`);
  // A copy, because parseTar reads the whole ArrayBuffer that a Buffer may share with others.
  const archive = new Uint8Array(brotliDecompressSync(readFileSync(join(source, "bin/swiftshader.tar.br"))));
  for (const { name, type, data } of parseTar(archive)) {
    if (type === "file" && data) {
      writeFileSync(join(unfinished, name), data, { mode: 0o755 });
    }
  }
  try {
    renameSync(unfinished, target);
  } catch (error) {
    rmSync(unfinished, { recursive: true });
    if (!isDirectory(target)) {
      throw error;
    }
  }
  return target;
}

/** @param {string} path */
function isDirectory(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
