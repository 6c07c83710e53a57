// Where tilings that were found by timing are kept: lines of JSON in a file of the user's cache in Node, in Cache Storage in browsers.

import convKernel from "@pkg/kernels/convolution/conv2d_tiled.wgsl";
import weightKernel from "@pkg/kernels/convolution/conv2d_weight_tiled.wgsl";
import matmulKernel from "@pkg/kernels/products/matmul_tiled.wgsl";
import { type NodeProcess, nodeProcess } from "../../../host/host.ts";
import { TILES, type Tile } from "../../../ops/matmul/tiles.ts";

/** By the kind of product: which of TILES, and in how many shares. */
export type StoredTilings = Map<string, { readonly tile: Tile; readonly shares: number }>;

/**
 * A line of the store: [tileM, tileN, shares] by kind of product, found on an adapter with the kernels of one version. Lines are only ever
 * added, each in one go, so that processes that tune at the same time lose nothing of each other; later lines count more.
 */
interface Line {
  readonly version: string;
  readonly adapter: string;
  readonly tilings: Readonly<Record<string, readonly number[]>>;
}

/** Another text of the kernels, or another list of tiles, makes what was timed before worthless. */
const VERSION = digest([matmulKernel, convKernel, weightKernel, JSON.stringify(TILES)].join());
const ENTRY = "tweedie-tilings";

/**
 * What was found on an adapter before; nothing where there is no store, or one that cannot be read.
 * @param place a file in Node, by default tweedie/tilings.jsonl in the user's cache; in browsers a name
 */
export async function readTilings(place: string | undefined, adapter: string): Promise<StoredTilings> {
  const found: StoredTilings = new Map();
  for (const text of await readLines(place)) {
    for (const [product, numbers] of Object.entries(tilingsIn(text, adapter))) {
      if (!Array.isArray(numbers)) continue;
      const [tileM, tileN, shares] = numbers;
      const tile = TILES.find((one) => one.tileM === tileM && one.tileN === tileN);
      if (tile && Number.isInteger(shares) && shares > 0) found.set(product, { tile, shares });
    }
  }
  return found;
}

/**
 * Adds what was found on an adapter to what is there.
 * @throws Error when it cannot be written
 */
export async function writeTilings(place: string | undefined, adapter: string, tilings: StoredTilings): Promise<void> {
  const entries = [...tilings].map(([product, { tile, shares }]) => [product, [tile.tileM, tile.tileN, shares]]);
  const line: Line = { version: VERSION, adapter, tilings: Object.fromEntries(entries) };
  const text = JSON.stringify(line);
  const process = nodeProcess();
  const path = place ?? (process ? defaultFile(process) : "Cache Storage");
  try {
    if (!process) {
      const cache = await caches.open(ENTRY);
      // An address of its own, of which the cache keeps the order.
      await cache.put(`${urlOf(place)}?${crypto.randomUUID()}`, new Response(text));
      return;
    }
    const fs = process.getBuiltinModule("node:fs");
    fs.mkdirSync(process.getBuiltinModule("node:path").dirname(path), { recursive: true });
    fs.appendFileSync(path, `\n${text}\n`); // a line of its own, also behind one that a full disk cut short
  } catch (error) {
    throw new Error(
      `tune: ${path} cannot be written (${error instanceof Error ? error.message : error}), want another`,
    );
  }
}

/** The tilings of a line, by product; none where it is about something else, or no line of ours. */
function tilingsIn(text: string, adapter: string): Readonly<Record<string, unknown>> {
  try {
    const line = JSON.parse(text) as Partial<Line> | null; // checked here and where it is used
    if (line?.version === VERSION && line.adapter === adapter && typeof line.tilings === "object") {
      return line.tilings ?? {};
    }
  } catch {
    // No JSON: what is lost is found again by tuning.
  }
  return {};
}

async function readLines(place: string | undefined): Promise<string[]> {
  try {
    const process = nodeProcess();
    if (process) {
      return process
        .getBuiltinModule("node:fs")
        .readFileSync(place ?? defaultFile(process), "utf8")
        .split("\n");
    }
    const cache = await caches.open(ENTRY);
    const responses = await cache.matchAll(urlOf(place), { ignoreSearch: true });
    return await Promise.all(responses.map((response) => response.text()));
  } catch {
    return []; // nothing there
  }
}

function defaultFile(process: NodeProcess): string {
  const { join } = process.getBuiltinModule("node:path");
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  const home = process.getBuiltinModule("node:os").homedir();
  const folder = XDG_CACHE_HOME || (process.platform === "win32" && LOCALAPPDATA) || join(home, ".cache");
  return join(folder, "tweedie", "tilings.jsonl");
}

function urlOf(place = "default"): string {
  return `/${encodeURIComponent(place)}`;
}

/** FNV-1a, 32 bits, in hexadecimal digits. */
function digest(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return (hash >>> 0).toString(16);
}
