// The bytes of a safetensors file of ours, once its beginning has been found good. Not what they mean.
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { ByteSource } from "@pkg/tensor";
import { isRegularFile } from "../files/regularFile.ts";
import { InputError } from "../inputError.ts";

/** The longest header of a checkpoint: that of some 4000 weights. What is longer would take long to parse, and is none. */
const LONGEST_HEADER = 2 ** 21;

/**
 * Opens the file while `use` reads from it: one of any size, and to the end the same file, also where a training saves the next meanwhile.
 * @throws Error when it cannot be read, or says of itself that its header is no checkpoint's; nothing else is read then
 */
export function withCheckpointFile<Result>(path: string, use: (source: ByteSource) => Result): Result {
  if (!isRegularFile(path)) throw new Error(`${path}: is not there, want a checkpoint`);
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const source: ByteSource = { size, read: (begin, end) => readAt(file, begin, end) };
    checkHeaderLength(path, source.read(0, Math.min(8, size)));
    return use(source);
  } finally {
    closeSync(file);
  }
}

/** @throws InputError when a file's header is longer than a checkpoint's may be */
export function checkHeaderLength(path: string, bytes: Uint8Array): void {
  if (bytes.length < 8) return; // which the parser explains
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > LONGEST_HEADER) {
    throw new InputError(
      `${path}: safetensors: header of ${length} bytes, want at most ${LONGEST_HEADER} in a checkpoint`,
    );
  }
}

function readAt(file: number, begin: number, end: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(end - begin);
  for (let at = 0; at < bytes.length; ) {
    // One read gives less than 2 GiB.
    const count = readSync(file, bytes, at, Math.min(bytes.length - at, 2 ** 30), begin + at);
    if (count === 0) throw new Error(`the file ends at ${begin + at}, want ${end} bytes`);
    at += count;
  }
  return bytes;
}
