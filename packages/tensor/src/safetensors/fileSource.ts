// A file of any size as bytes that are read in parts, where the runtime has Node's file system (Node, Deno, Bun).

import { wrongArgument } from "../argument.ts";
import type { ByteSource } from "./safetensors.ts";

/** What is used of Node. */
interface NodeFiles {
  statSync(path: string): { isFile(): boolean };
  openSync(path: string, flags: "r"): number;
  fstatSync(file: number): { readonly size: number; readonly ino: number; readonly mtimeMs: number };
  readSync(file: number, into: Uint8Array, offset: number, length: number, position: number): number;
  closeSync(file: number): void;
}

/** One read of Node takes less than 2 GiB. */
const MOST = 2 ** 30;

/**
 * A file to hand to `parseSafetensors`, also one above the 2 GiB that `readFile` takes. It is open during each read alone.
 * @throws Error where there is no file but a folder, pipe or device, or no file system; from `read` when the file has been replaced
 */
export function fileSource(path: string): ByteSource {
  if (typeof path !== "string") throw wrongArgument("fileSource", "path", path, "the path of a file");
  const node = (globalThis as { process?: { getBuiltinModule?(name: "node:fs"): NodeFiles } }).process;
  const fs = node?.getBuiltinModule?.("node:fs");
  if (!fs)
    throw new Error("fileSource: there is no file system here, want Node, Deno or Bun; give parseSafetensors bytes");
  // A pipe would be waited for, and no signal ends a process that waits so.
  if (!fs.statSync(path).isFile()) throw new Error(`fileSource: ${path} is no file, want one`);
  const opened = <T>(use: (file: number) => T): T => {
    const file = fs.openSync(path, "r");
    try {
      return use(file);
    } finally {
      fs.closeSync(file);
    }
  };
  const known = opened(fs.fstatSync);
  return {
    size: known.size,
    read: (begin, end) =>
      opened((file) => {
        const { size, ino, mtimeMs } = fs.fstatSync(file);
        if (size !== known.size || ino !== known.ino || mtimeMs !== known.mtimeMs) {
          throw new Error(`fileSource: ${path} has been replaced since it was opened, want it unchanged`);
        }
        const bytes = new Uint8Array(end - begin);
        for (let at = 0; at < bytes.length; ) {
          const count = fs.readSync(file, bytes, at, Math.min(bytes.length - at, MOST), begin + at);
          if (count === 0) throw new Error(`fileSource: ${path} ends at ${begin + at}, want ${end} bytes`);
          at += count;
        }
        return bytes;
      }),
  };
}
