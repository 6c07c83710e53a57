// Files that are replaced whole or not at all, through a crash or kill -9. Not a lock: the last of two writers wins.
import { closeSync, fsyncSync, openSync, readdirSync, renameSync, rmSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";

/**
 * Writes a file so that its path always holds the old content or the new, complete and on disk when this returns.
 * Synchronous on purpose: a signal is handled before or after, and no two writes of one process meet.
 * @throws Error with the reason; the old file is as it was and nothing is left beside it
 */
export function writeFileAtomic(path: string, bytes: Uint8Array): void {
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    writeThrough(temporary, bytes);
    renameSync(temporary, path);
  } catch (error) {
    removeQuietly(temporary);
    throw new Error(`writeFileAtomic: ${path} stays as it was: ${(error as Error).message}`, { cause: error });
  }
  syncDirectory(dirname(path));
}

/**
 * Removes what killed processes left of `writeFileAtomic` in a directory (not below it), and what an earlier process
 * left that had this one's id, as happens in containers.
 * @returns the names removed; none when there is no such directory
 */
export function removeStaleTemporaries(directory: string): string[] {
  const stale = filesIn(directory).filter((name) => {
    const pid = Number(/\.tmp-(\d+)$/.exec(name)?.[1] ?? Number.NaN);
    return pid === process.pid || (Number.isSafeInteger(pid) && !isAlive(pid));
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

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== "ESRCH"; // EPERM: alive and another user's
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
