// Files that are replaced whole or not at all, through a crash or kill -9. Not a lock: the last of two writers wins.
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { ForeseenError } from "@pkg/command";
import { isAlive, OWN, OWNER } from "./owner.ts";
import { isRegularFile } from "./regularFile.ts";

/** A file could not be written: the disk is full, its folder gone, the path taken. It is as it was. */
export class WriteError extends ForeseenError {
  override readonly name = "WriteError";
}

/**
 * Writes a file so that its path always holds the old content or the new, complete and on disk when this returns. A link stays one: what it
 * leads to is replaced. Synchronous on purpose: a signal is handled before or after, and no two writes of one process meet.
 * @throws WriteError with the reason, also where no file but a device, pipe or folder lies; nothing is left beside it
 */
export function writeFileAtomic(path: string, bytes: Uint8Array): void {
  let temporary: string | undefined;
  try {
    const target = isRegularFile(path) ? realpathSync(path) : path;
    temporary = `${target}${UNFINISHED}${OWN}`;
    writeThrough(temporary, bytes);
    renameSync(temporary, target);
    syncDirectory(dirname(target));
  } catch (error) {
    if (temporary !== undefined) removeQuietly(temporary);
    throw new WriteError(`${path} stays as it was: ${(error as Error).message}`, { cause: error });
  }
}

// A name that nobody gives a file: what bears it and is nobody's any more may be removed.
const UNFINISHED = ".tweedie-unfinished-";
const TEMPORARY = new RegExp(`${UNFINISHED.replaceAll(".", "\\.")}(${OWNER.source})$`);

/**
 * Removes what killed processes left of `writeFileAtomic` in a directory (not below it).
 * @returns the names removed; none when there is no such directory
 */
export function removeStaleTemporaries(directory: string): string[] {
  const stale = filesIn(directory).filter((name) => {
    const owner = TEMPORARY.exec(name)?.[1];
    if (owner === undefined) return false;
    const { mtimeMs } = statSync(join(directory, name), { throwIfNoEntry: false }) ?? { mtimeMs: 0 };
    return owner === OWN || !isAlive(owner, (Date.now() - mtimeMs) / 1000);
  });
  for (const name of stale) {
    rmSync(join(directory, name), { force: true });
  }
  return stale;
}

function writeThrough(path: string, bytes: Uint8Array): void {
  const file = openSync(path, "w");
  try {
    // One write takes less than 2 GiB, and may take less than asked.
    for (let at = 0; at < bytes.length; ) {
      at += writeSync(file, bytes, at, Math.min(bytes.length - at, 2 ** 30));
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

// The reason of the failure that led here is worth more than the reason of this one.
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

// Makes the rename itself last. Windows cannot open directories (EPERM, EISDIR), some network disks cannot sync them.
function syncDirectory(path: string): void {
  try {
    const directory = openSync(path, "r");
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  } catch (error) {
    if (!["EPERM", "EISDIR", "EINVAL"].includes(codeOf(error) ?? "")) throw error;
  }
}

function filesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
