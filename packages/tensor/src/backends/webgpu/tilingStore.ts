// Where tilings that were found by timing are kept: a JSON file in the user's cache in Node, an entry of Cache Storage in browsers.

import convKernel from "@pkg/kernels/conv2d_tiled.wgsl";
import weightKernel from "@pkg/kernels/conv2d_weight_tiled.wgsl";
import matmulKernel from "@pkg/kernels/matmul_tiled.wgsl";
import { TILES, type Tile } from "../../ops/tiles.ts";

/** By the kind of product: which of TILES, and in how many shares. */
export type StoredTilings = Map<string, { readonly tile: Tile; readonly shares: number }>;

/** What is used of Node. */
interface NodeProcess {
  readonly pid: number;
  readonly platform: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  getBuiltinModule(name: "node:fs"): {
    readFileSync(path: string, encoding: "utf8"): string;
    writeFileSync(path: string, text: string): void;
    mkdirSync(path: string, options: { recursive: true }): void;
    renameSync(from: string, to: string): void;
    rmSync(path: string, options: { force: true }): void;
  };
  getBuiltinModule(name: "node:path"): { dirname(path: string): string; join(...parts: string[]): string };
  getBuiltinModule(name: "node:os"): { homedir(): string };
}

/** [tileM, tileN, shares] by adapter and kind of product, valid for the kernels of one version. */
interface Stored {
  readonly version: string;
  readonly adapters: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>;
}

/** Another text of the kernels, or another list of tiles, makes what was timed before worthless. */
const VERSION = digest([matmulKernel, convKernel, weightKernel, JSON.stringify(TILES)].join());
const ENTRY = "tweedie-tilings";

/**
 * What was found on an adapter before; nothing where there is no store, or one that cannot be read.
 * @param place a file in Node, by default tweedie/tilings.json in the user's cache; in browsers a name
 */
export async function readTilings(place: string | undefined, adapter: string): Promise<StoredTilings> {
  const found: StoredTilings = new Map();
  const ofAdapter: unknown = (await read(place)).adapters[adapter];
  if (typeof ofAdapter !== "object" || ofAdapter === null) return found;
  for (const [product, numbers] of Object.entries(ofAdapter)) {
    if (!Array.isArray(numbers)) continue;
    const [tileM, tileN, shares] = numbers;
    const tile = TILES.find((one) => one.tileM === tileM && one.tileN === tileN);
    if (tile && Number.isInteger(shares) && shares > 0) found.set(product, { tile, shares });
  }
  return found;
}

/**
 * Keeps what was found on an adapter, beside what is there of others. The file holds the old content or the new at any time.
 * @throws Error when it cannot be written
 */
export async function writeTilings(place: string | undefined, adapter: string, tilings: StoredTilings): Promise<void> {
  const entries = [...tilings].map(([product, { tile, shares }]) => [product, [tile.tileM, tile.tileN, shares]]);
  const { adapters } = await read(place);
  const stored: Stored = {
    version: VERSION,
    adapters: { ...adapters, [adapter]: { ...adapters[adapter], ...Object.fromEntries(entries) } },
  };
  const text = `${JSON.stringify(stored, null, 1)}\n`;
  const process = node();
  if (!process) {
    const cache = await caches.open(ENTRY);
    await cache.put(urlOf(place), new Response(text));
    return;
  }
  const path = place ?? defaultFile(process);
  const fs = process.getBuiltinModule("node:fs");
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    fs.mkdirSync(process.getBuiltinModule("node:path").dirname(path), { recursive: true });
    fs.writeFileSync(temporary, text);
    fs.renameSync(temporary, path);
  } catch (error) {
    try {
      fs.rmSync(temporary, { force: true });
    } catch {
      // The reason of the failure that led here is worth more.
    }
    throw new Error(
      `tune: ${path} cannot be written (${error instanceof Error ? error.message : error}), want another`,
    );
  }
}

/** The store; an empty one where there is none, or one that something else wrote. */
async function read(place: string | undefined): Promise<Stored> {
  try {
    const stored = JSON.parse(await readText(place)) as Partial<Stored> | null; // checked here and where it is used
    const { version, adapters } = stored ?? {};
    if (version === VERSION && typeof adapters === "object" && adapters !== null) return { version, adapters };
  } catch {
    // Nothing there, or no JSON: what is lost is found again by tuning.
  }
  return { version: VERSION, adapters: {} };
}

async function readText(place: string | undefined): Promise<string> {
  const process = node();
  if (process) return process.getBuiltinModule("node:fs").readFileSync(place ?? defaultFile(process), "utf8");
  const cache = await caches.open(ENTRY);
  return (await (await cache.match(urlOf(place)))?.text()) ?? "";
}

function defaultFile(process: NodeProcess): string {
  const { join } = process.getBuiltinModule("node:path");
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const home = process.getBuiltinModule("node:os").homedir();
  const folder = XDG_CACHE_HOME || (process.platform === "win32" && LOCALAPPDATA) || join(home, ".cache");
  return join(folder, "tweedie", "tilings.json");
}

function urlOf(place = "default"): string {
  return `/${encodeURIComponent(place)}`;
}

function node(): NodeProcess | null {
  const { process } = globalThis as { process?: NodeProcess }; // the types of Node are not a browser's
  return process?.getBuiltinModule ? process : null;
}

/** FNV-1a, 32 bits, in hexadecimal digits. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
}
