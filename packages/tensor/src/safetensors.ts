// The safetensors file format: bytes to named typed arrays and back. Not file access, and no Tensor: plain arrays only.
import { checkSize, dtypeRank, readTensor, type SafetensorsTensor, storedBytes } from "./safetensorsDtype.ts";
import { checkName, checkText, parseHeader, quote } from "./safetensorsHeader.ts";

export type { SafetensorsArrays, SafetensorsDtype, SafetensorsTensor } from "./safetensorsDtype.ts";

/** What a file holds, tensors in the order of their data. */
export interface SafetensorsFile {
  readonly tensors: Map<string, SafetensorsTensor>;
  readonly metadata: Record<string, string>;
}

const HEADER_CAP = 100_000_000;

/**
 * Reads a safetensors file; every array is a copy, aligned and independent of `bytes`.
 * @param bytes the whole file
 * @throws Error `safetensors: …` for every file that breaks the format
 */
export function parseSafetensors(bytes: Uint8Array): SafetensorsFile {
  const headerEnd = 8 + headerLength(bytes);
  const { entries, metadata } = parseHeader(decodeText(bytes.subarray(8, headerEnd)));
  for (const entry of entries) checkSize(entry);
  const data = bytes.subarray(headerEnd);
  const covered = entries.at(-1)?.end ?? 0;
  if (covered !== data.length) {
    const fault = covered < data.length ? "bytes that belong to no tensor" : "missing data";
    throw new Error(`safetensors: ${data.length} bytes of data, ${fault}, want ${covered}`);
  }
  return { tensors: new Map(entries.map((entry) => [entry.name, readTensor(entry, data)])), metadata };
}

/**
 * Writes a safetensors file: the same bytes for the same content, whatever the order of the map. Tensors lie as the
 * reference implementation lays them (alignment, then name), metadata keys are sorted, no metadata writes none.
 * @throws Error `safetensors: …` when an array does not fit its dtype or shape, or a name cannot be written
 */
export function serializeSafetensors(
  tensors: ReadonlyMap<string, SafetensorsTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    ([nameA, a], [nameB, b]) => dtypeRank(a.dtype) - dtypeRank(b.dtype) || compareCodePoints(nameA, nameB),
  );
  const fields = Object.keys(metadata).length > 0 ? [`"__metadata__":${metadataText(metadata)}`] : [];
  const parts: Uint8Array[] = [];
  let end = 0;
  for (const [name, tensor] of ordered) {
    const part = storedBytes(name, tensor);
    const info = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [end, end + part.length] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    parts.push(part);
    end += part.length;
  }
  const header = new TextEncoder().encode(`{${fields.join(",")}}`);
  const headerSize = Math.ceil(header.length / 8) * 8;
  if (headerSize > HEADER_CAP) {
    throw new Error(`safetensors: header of ${headerSize} bytes, want at most ${HEADER_CAP}`);
  }
  const bytes = new Uint8Array(8 + headerSize + end);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(headerSize), true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.length, 8 + headerSize);
  let offset = 8 + headerSize;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function headerLength(bytes: Uint8Array): number {
  if (bytes.length < 8) {
    throw new Error(`safetensors: ${bytes.length} bytes, want at least the 8 of the header length`);
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > BigInt(HEADER_CAP)) {
    throw new Error(`safetensors: header of ${length} bytes, want at most ${HEADER_CAP}`);
  }
  if (length > BigInt(bytes.length - 8)) {
    throw new Error(`safetensors: header of ${length} bytes in a file of ${bytes.length}, want it inside the file`);
  }
  return Number(length);
}

function decodeText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    throw new Error("safetensors: header is not valid UTF-8, want JSON in UTF-8", { cause: error });
  }
}

function metadataText(metadata: Readonly<Record<string, string>>): string {
  const fields = Object.entries(metadata).sort(([a], [b]) => compareCodePoints(a, b));
  return `{${fields.map(([key, value]) => metadataField(key, value)).join(",")}}`;
}

function metadataField(key: string, value: string): string {
  checkName(key, "metadata key");
  if (typeof value !== "string") {
    throw new Error(`safetensors: metadata ${quote(key)} is ${typeof value}, want a string`);
  }
  checkText(value, `metadata ${quote(key)}:`);
  return `${JSON.stringify(key)}:${JSON.stringify(value)}`;
}

// The order of the UTF-8 bytes. `<` compares UTF-16 units and puts surrogate pairs below U+E000 to U+FFFF.
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [unitA, unitB] = [a.charCodeAt(i), b.charCodeAt(i)];
    if (unitA !== unitB) return rank(unitA) - rank(unitB);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
}
