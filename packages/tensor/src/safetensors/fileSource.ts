// A file of any size, read in parts. It needs Node's file system (Node, Deno, Bun).

import { wrongArgument } from "../argument.ts";
import type { ByteSource } from "./safetensors.ts";

/** The parts of Node's file system that are used. */
interface NodeFiles {
  statSync(path: string): { isFile(): boolean };
  openSync(path: string, flags: "r"): number;
  fstatSync(file: number): { readonly size: number; readonly ino: number; readonly mtimeMs: number };
  readSync(file: number, into: Uint8Array, offset: number, length: number, position: number): number;
  closeSync(file: number): void;
}

/** Node reads less than 2 GiB at once. */
const MOST = 2 ** 30;

/**
 * A file for `parseSafetensors`, of any size: `readFile` refuses 2 GiB and more. The file is open during each read alone.
 * @throws Error for a folder, pipe or device, and without a file system; from `read` when the file was replaced
 */
export function fileSource(path: string): ByteSource {
  if (typeof path !== "string") throw wrongArgument("fileSource", "path", path, "the path of a file");
  const node = (globalThis as { process?: { getBuiltinModule?(name: "node:fs"): NodeFiles } }).process;
  const fs = node?.getBuiltinModule?.("node:fs");
  if (!fs) throw new Error("fileSource: no file system, want Node, Deno or Bun (parseSafetensors takes bytes too)");
  // Reading a pipe would wait, and no signal ends a process that waits so.
  if (!fs.statSync(path).isFile()) throw new Error(`fileSource: ${path} is not a file, want one`);
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
