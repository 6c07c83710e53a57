// Where the ways that were found by timing are kept: lines of JSON in a file of the user's cache in Node, in Cache Storage in browsers.

import { type NodeProcess, nodeProcess } from "../../../host/host.ts";

/** The numbers of a way by the name and version of its choice. */
export type Found = Map<string, readonly number[]>;

/**
 * A line of the store: what was found on an adapter. Lines are only ever added, each in one go, so that processes that tune at the same
 * time lose nothing of each other; later lines count more.
 */
interface Line {
  readonly adapter: string;
  readonly found: Readonly<Record<string, readonly number[]>>;
}

const ENTRY = "tweedie-tilings";

/**
 * What was found on an adapter before; nothing where there is no store, or one that cannot be read.
 * @param place a file in Node, by default tweedie/tilings.jsonl in the user's cache; in browsers a name
 */
export async function readFound(place: string | undefined, adapter: string): Promise<Found> {
  const found: Found = new Map();
  for (const text of await readLines(place)) {
    for (const [choice, numbers] of Object.entries(foundIn(text, adapter))) {
      if (Array.isArray(numbers) && numbers.every(Number.isFinite)) found.set(choice, numbers);
    }
  }
  return found;
}

/**
 * Adds what was found on an adapter to what is there.
 * @throws Error when it cannot be written
 */
export async function writeFound(place: string | undefined, adapter: string, found: Found): Promise<void> {
  const line: Line = { adapter, found: Object.fromEntries(found) };
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

/** What a line holds, by choice; nothing where it is about another adapter, or no line of ours. */
function foundIn(text: string, adapter: string): Readonly<Record<string, unknown>> {
  try {
    const line = JSON.parse(text) as Partial<Line> | null; // checked here and where it is used
    if (line?.adapter === adapter && typeof line.found === "object") return line.found ?? {};
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
