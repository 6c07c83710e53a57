// Unpacks what the npm package @sparticuz/chromium carries, once: a headless browser, and a software Vulkan driver (SwiftShader).
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync } from "node:zlib";
import { parseTar } from "nanotar";
import { cacheFolder } from "./cacheFolder.mjs";

const nodeModules = fileURLToPath(new URL("../node_modules", import.meta.url));
const source = join(nodeModules, "@sparticuz/chromium");

/** What the package holds runs on x86-64 Linux only. */
export const canUnpack = process.platform === "linux" && process.arch === "x64";

/** A folder with SwiftShader, the Vulkan loader and the file that names the one to the other. */
export function unpackSwiftShader() {
  return unpacked("swiftshader", (folder) => extract("swiftshader.tar.br", folder));
}

/** A folder with `chromium`, SwiftShader beside it, its libraries in `lib`, and a font, which `fonts.conf` finds. */
export function unpackChromium() {
  return unpacked("chromium", (folder) => {
    for (const archive of ["al2023.tar.br", "fonts.tar.br", "swiftshader.tar.br"]) extract(archive, folder);
    // The package's own one names folders of another system.
    writeFileSync(join(folder, "fonts.conf"), '<fontconfig><dir prefix="relative">fonts</dir></fontconfig>\n');
    writeFileSync(join(folder, "chromium"), decompress("chromium.br"), { mode: 0o755 });
  });
}

/**
 * The cached folder of this name and of the package's version, filled where it is missing. Written aside and renamed, so that
 * a process killed halfway or a second one leaves no half-filled folder.
 * @param {string} name
 * @param {(folder: string) => void} fill
 */
function unpacked(name, fill) {
  const { version } = JSON.parse(readFileSync(join(source, "package.json"), "utf8"));
  const target = join(cacheFolder(), `${name}-${version}`);
  if (isDirectory(target)) {
    return target;
  }
  const unfinished = mkdtempSync(`${target}-`);
  fill(unfinished);
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

/**
 * @param {string} archive
 * @param {string} folder
 */
function extract(archive, folder) {
  // A copy, because parseTar reads the whole ArrayBuffer that a Buffer may share with others.
  for (const { name, type, data } of parseTar(new Uint8Array(decompress(archive)))) {
    if (type === "file" && data) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), data, { mode: 0o755 });
    }
  }
}

/** @param {string} file */
function decompress(file) {
  return brotliDecompressSync(readFileSync(join(source, "bin", file)));
}

/** @param {string} path */
function isDirectory(path) {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
