// What lies at a path: only a regular file may be read or replaced. A pipe would be waited for, a device replaced or read for ever.
import { lstatSync, type Stats, statSync } from "node:fs";

/**
 * Whether a file lies at a path, links followed.
 * @throws Error when something else does (a folder, a device, a pipe, a link to nothing), or it cannot be looked at
 */
export function isRegularFile(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false }) ?? lstatSync(path, { throwIfNoEntry: false });
  if (!found) return false;
  if (!found.isFile()) throw new Error(`${path}: is ${kindOf(found)}, want a file`);
  return true;
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return "a folder";
  if (found.isFIFO()) return "a pipe";
  if (found.isSocket()) return "a socket";
  return found.isSymbolicLink() ? "a link to nothing" : "a device";
}
