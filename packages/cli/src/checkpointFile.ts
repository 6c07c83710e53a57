// The bytes of a safetensors file of ours: read as a whole once its beginning has been found good. Not what they mean.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { isRegularFile } from "./regularFile.ts";

/** The longest header of a checkpoint: that of some 4000 weights. What is longer would take long to parse, and is none. */
const LONGEST_HEADER = 2 ** 21;

/** @throws Error when the file cannot be read, or says of itself that its header is no checkpoint's; nothing else is read then */
export function readCheckpointFile(path: string): Uint8Array {
  if (!isRegularFile(path)) throw new Error(`${path}: is not there, want a checkpoint`);
  const file = openSync(path, "r");
  try {
    const beginning = readAt(file, 0, 8);
    checkHeaderLength(path, beginning);
    return readAt(file, 0, fstatSync(file).size);
  } finally {
    closeSync(file);
  }
}

/** @throws Error when a file's header is longer than a checkpoint's may be */
export function checkHeaderLength(path: string, bytes: Uint8Array): void {
  if (bytes.length < 8) return; // which the parser explains
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > LONGEST_HEADER) {
    throw new Error(`${path}: safetensors: header of ${length} bytes, want at most ${LONGEST_HEADER} in a checkpoint`);
  }
}

function readAt(file: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  // One read gives less than 2 GiB.
  while (at < length) {
    const got = readSync(file, bytes, at, Math.min(length - at, 2 ** 30), from + at);
    if (got === 0) return bytes.subarray(0, at);
    at += got;
  }
  return bytes;
}
