// The bytes of a safetensors file of ours, once its beginning has been found good. Not what they mean.
import { type ByteSource, fileSource } from "@pkg/tensor";
import { isRegularFile } from "./regularFile.ts";

/** The longest header of a checkpoint: that of some 4000 weights. What is longer would take long to parse, and is none. */
const LONGEST_HEADER = 2 ** 21;

/**
 * The file, to be read by the tensor: one of any size.
 * @throws Error when it cannot be read, or says of itself that its header is no checkpoint's; nothing else is read then
 */
export function openCheckpointFile(path: string): ByteSource {
  if (!isRegularFile(path)) throw new Error(`${path}: is not there, want a checkpoint`);
  const source = fileSource(path);
  checkHeaderLength(path, source.read(0, Math.min(8, source.size)));
  return source;
}

/** @throws Error when a file's header is longer than a checkpoint's may be */
export function checkHeaderLength(path: string, bytes: Uint8Array): void {
  if (bytes.length < 8) return; // which the parser explains
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > LONGEST_HEADER) {
    throw new Error(`${path}: safetensors: header of ${length} bytes, want at most ${LONGEST_HEADER} in a checkpoint`);
  }
}
